"""All that the pack asks of ComfyUI beyond the node schema: folders, progress, models.

With ``_training_host.py`` and ``_check_host.py`` the only module that imports ``folder_paths`` or ``comfy.*``. Both are
imported inside the functions: cheap ones run while the server lists its nodes, the rest only when a node runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..facechain.errors import ModelFileError
from ..facechain.lack_of_memory import pass_on
from ..facechain.names import checked_name, inside

PACK = Path(__file__).resolve().parents[1]
PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif", ".gif"}

PREVIEW = 768  # pixels of a side at most; at 512 the words of a loss curve cannot be read
SAM_SUFFIXES = {".safetensors", ".pth", ".pt"}
SAM_WORKSPACE = 3 * 2**30  # bytes; what the largest of SAM's image encoders works with at 1024 pixels

Progress = Callable[..., None]


# --- folders -----------------------------------------------------------------------


def input_folder() -> Path:
    import folder_paths

    return Path(folder_paths.get_input_directory())


def input_folders() -> list[str]:
    """Folders in ComfyUI's input folder that hold pictures themselves, as "anna" or "family/anna"."""
    root = input_folder()
    found = []
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        if Path(folder) != root and any(Path(name).suffix.lower() in PICTURE_SUFFIXES for name in files):
            found.append(Path(folder).relative_to(root).as_posix())
    return sorted(found)


def temp_folder() -> Path:
    """Where ComfyUI keeps previews until it starts again."""
    import folder_paths

    return Path(folder_paths.get_temp_directory())


def place_to_save(prefix: str, width: int, height: int) -> tuple[Path, str, str]:
    """(folder, file name without suffix, subfolder) of the next picture in ComfyUI's output folder, by core's rule.

    prefix: checked before; core's %year%, %width% and the like are filled in.
    """
    import folder_paths

    output = folder_paths.get_output_directory()
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, output, width, height)
    return Path(folder), f"{name}_{counter:05}_", subfolder


def keeps_workflows() -> bool:
    """Whether saved pictures carry their workflow: not under --disable-metadata."""
    from comfy.cli_args import args

    return not args.disable_metadata


def own_folder(name: str) -> Path:
    """The folder of that name, people or styles, in models/facechain; not made until something is written."""
    import folder_paths

    return Path(folder_paths.models_dir) / "facechain" / name


def people_names() -> list[str]:
    return sorted(path.stem for path in own_folder("people").glob("*.safetensors") if not path.name.startswith("."))


def person_file(name: str) -> Path:
    """Where the person of that name is saved. Raises UnusableNameError."""
    return inside(own_folder("people"), f"{checked_name(name, 'person name')}.safetensors")


def file_stamp(path: Path) -> str:
    """Changes when the file does: for fingerprint_inputs of what reads it."""
    if not path.is_file():
        return "absent"
    about = path.stat()
    return f"{about.st_mtime_ns} {about.st_size}"


def model_folder(name: str) -> Path:
    """The first folder of that kind that ComfyUI knows ("loras"), where new files go."""
    import folder_paths

    return Path(folder_paths.get_folder_paths(name)[0])


def find_model(kind: str, name: str) -> Path | None:
    """A model file by the name ComfyUI lists it under, in any of the folders of that kind."""
    import folder_paths

    path = folder_paths.get_full_path(kind, name)
    return Path(path) if path else None


def face_engine(name: str) -> Any:
    """The face engine of that name, with ComfyUI's model folders and device. Raises ModelFileError."""
    from ..facechain.faces import engine

    return engine(name, folders=insightface_folders(), gpu=on_nvidia())


def insightface_folders() -> list[Path]:
    """models/insightface and whatever folders are registered for it, without repeats."""
    return model_roots("insightface")


def on_nvidia() -> bool:
    import comfy.model_management
    import torch

    return comfy.model_management.get_torch_device().type == "cuda" and torch.version.hip is None


def sam_names() -> list[str]:
    """Files in models/sams (other packs use the same folder), as "sam_vit_b.safetensors" or "more/sam.pth"."""
    found = {
        path.relative_to(folder).as_posix()
        for folder in _sam_folders()
        for path in folder.glob("**/*")
        if path.suffix.lower() in SAM_SUFFIXES
    }
    return sorted(found)


def load_sam(name: str) -> Any:
    """The SAM model of that name, on the device of the host.

    Raises ModelFileError, which says how to convert a pickle.
    """
    from ..facechain.photos.sam import load_sam

    folders = _sam_folders()
    if name not in sam_names():  # the server does not check; a name such as ../x must not become a path
        raise ModelFileError(
            f"there is no SAM model {name!r} in {folders[0]}", "Put it there, or set sam_model to (none)"
        )
    path = next(folder / name for folder in folders if (folder / name).is_file())
    return load_sam(path, free_device(2 * path.stat().st_size + SAM_WORKSPACE), check_cancel)


def _sam_folders() -> list[Path]:
    return model_roots("sams")


def running_server() -> Any:
    """ComfyUI's server of this process; None where there is none, as in tests that read the schema."""
    return getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)


def model_roots(kind: str) -> list[Path]:
    """models/<kind> and whatever folders are registered for it, without repeats."""
    import folder_paths

    registered = folder_paths.folder_names_and_paths.get(kind, ([],))[0]
    return list(dict.fromkeys([Path(folder_paths.models_dir) / kind, *map(Path, registered)]))


def custom_nodes() -> list[Path]:
    """The folders that hold packs of nodes."""
    import folder_paths

    return [Path(folder) for folder in folder_paths.get_folder_paths("custom_nodes")]


def free_device(space: int) -> Any:
    """ComfyUI's device, after at least so many bytes of its memory have been made free of models."""
    import comfy.model_management as management

    device = management.get_torch_device()
    management.free_memory(space, device)
    return device


# --- progress and cancel -------------------------------------------------------------


def progress_bar(total: int) -> Progress:
    """A function (done, total=None, preview=None) that moves the running node's progress bar.

    preview: a Pillow picture shown on the node. Raises ComfyUI's interrupt when the user cancelled.
    """
    import comfy.utils

    bar = comfy.utils.ProgressBar(total)

    def advance(done: int, total: int | None = None, preview: Any = None) -> None:
        bar.update_absolute(done, total, ("JPEG", preview, PREVIEW) if preview is not None else None)

    return advance


def check_cancel() -> None:
    """Raise ComfyUI's interrupt when the user cancelled."""
    import comfy.model_management

    comfy.model_management.throw_exception_if_processing_interrupted()


def nothing() -> Any:
    """For an output that has nothing to give: nodes connected to it are skipped without an error."""
    from comfy_execution.graph_utils import ExecutionBlocker

    return ExecutionBlocker(None)


# --- choices of core nodes -----------------------------------------------------------


def sampler_names() -> list[str]:
    import comfy.samplers

    return list(comfy.samplers.KSampler.SAMPLERS)


def scheduler_names() -> list[str]:
    import comfy.samplers

    return list(comfy.samplers.KSampler.SCHEDULERS)


# --- person LoRAs --------------------------------------------------------------------

PERSON_LORAS = "facechain_person_loras"  # attachment of a ModelPatcher: {LoRA name: strength applied}


def applied_person_loras(patcher: Any) -> dict[str, float]:
    """Person LoRAs that a MODEL (or a CLIP's patcher) carries, with their strengths."""
    return dict(patcher.get_attachment(PERSON_LORAS) or {})


def apply_person_lora(model: Any, clip: Any, lora_name: str, weight: float) -> tuple[Any, Any]:
    """MODEL and CLIP (each may be None) with the person LoRA at exactly that weight; the inputs stay as they are.

    Where an earlier node has applied the same LoRA, only the difference is added.
    Raises ModelFileError when the file is absent or damaged.
    """
    import comfy.sd
    import comfy.utils

    path = find_model("loras", lora_name)
    if path is None:
        folder = model_folder("loras")
        raise ModelFileError(f"the person LoRA {lora_name} is absent from {folder}", "Train the person again")
    missing_model = weight - applied_person_loras(model).get(lora_name, 0.0) if model is not None else 0.0
    missing_clip = weight - applied_person_loras(clip.patcher).get(lora_name, 0.0) if clip is not None else 0.0
    if missing_model == 0 and missing_clip == 0:
        return model, clip
    with _readable(lora_name, "Train the person again"):
        weights = comfy.utils.load_torch_file(str(path), safe_load=True)
    model, clip = comfy.sd.load_lora_for_models(model, clip, weights, missing_model, missing_clip)
    for patcher in [model] * (model is not None) + [getattr(clip, "patcher", None)] * (clip is not None):
        patcher.set_attachments(PERSON_LORAS, applied_person_loras(patcher) | {lora_name: weight})
    return model, clip


# --- styles and conditioning -----------------------------------------------------------


def find_lora(name: str) -> str | None:
    """The name under which ComfyUI lists a LoRA file, in the loras folder or any folder below it; None if absent."""
    import folder_paths

    listed = [entry.replace("\\", "/") for entry in folder_paths.get_filename_list("loras")]
    wanted = name.lower()
    here = [entry for entry in listed if entry.lower() == wanted]
    below = [entry for entry in listed if entry.lower().endswith(f"/{wanted}")]
    return next(iter([*here, *below]), None)


def apply_lora(model: Any, clip: Any, name: str, strength: float) -> tuple[Any, Any, bool]:
    """MODEL and CLIP with a listed LoRA, by core's loader, and whether it fits any layer of them.

    Raises ModelFileError where the file is damaged.
    """
    with _readable(name, "Download the file again"):
        new_model, new_clip = _core_node("LoraLoader").load_lora(model, clip, name, strength, strength)
    return new_model, new_clip, _patches(new_model, new_clip) > _patches(model, clip)


@contextmanager
def _readable(name: str, remedy: str) -> Iterator[None]:
    """Raises ModelFileError where what is read inside is a damaged LoRA file."""
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, ValueError, OSError) as error:
        pass_on(error)
        raise ModelFileError(f"the LoRA {name} cannot be read ({error})", remedy) from error


def _patches(model: Any, clip: Any) -> int:
    return sum(len(entries) for patcher in (model, clip.patcher) for entries in patcher.patches.values())


def model_family(model: Any) -> str:
    """What a MODEL is, in the words of styles: "SD 1.5", "SDXL", "SD3", "Flux" or "other"."""
    names = [kind.__name__ for kind in type(model.model.model_config).__mro__]
    families = {"SD15": "SD 1.5", "SDXL": "SDXL", "SDXLRefiner": "SDXL", "SD3": "SD3", "Flux": "Flux"}
    return next((families[name] for name in names if name in families), "other")


def encode(clip: Any, text: str) -> Any:
    """CONDITIONING of a text, as core's CLIP Text Encode makes it; a cancel ends it, however long the text is."""
    from ..facechain.cancelling import looking

    with looking(clip.cond_stage_model, check_cancel):
        return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def tokens_of(clip: Any, text: str) -> list[int]:
    """Tokens of a text in each of CLIP's windows, which hold WINDOW of them; in one number for encoders without windows.

    Counted by the text encoder that needs most windows. clip: a CLIP, or one of ComfyUI's tokenizers.
    """
    tokenize = getattr(clip, "tokenize", None) or clip.tokenize_with_weights
    # word id 0 marks what stands around the words: begin, end and padding
    towers = [
        [sum(word[2] != 0 for word in row) for row in tower] for tower in tokenize(text, return_word_ids=True).values()
    ]
    return max(towers, key=lambda rows: (len(rows), sum(rows)))


@lru_cache(maxsize=1)
def tokenizer() -> Any:
    """For counting before there is a CLIP."""  # CLIP-L's: SD 1.5, SDXL, SD3 and Flux all read it
    import comfy.sd1_clip

    return comfy.sd1_clip.SD1Tokenizer()


def apply_controlnet(
    positive: Any, negative: Any, control_net: Any, maps: Any, strength: float, start: float, end: float, vae: Any
) -> tuple[Any, Any]:
    """Both conditionings with the ControlNet, by the node of the core.

    maps: an IMAGE; each portrait of a batch follows the map of the same number.
    """
    node = _core_node("ControlNetApplyAdvanced")
    return node.apply_controlnet(positive, negative, control_net, maps, strength, start, end, vae=vae)


def _core_node(name: str) -> Any:
    """A new instance of one of core's nodes, whose methods work outside a graph too."""
    return sys.modules["nodes"].NODE_CLASS_MAPPINGS[name]()  # ComfyUI's nodes.py, not our folder
