"""All that the pack asks of ComfyUI beyond the node schema: folders, progress, models.

The only module that imports ``folder_paths`` or ``comfy.*``. Both are imported inside the
functions: cheap ones run while the server lists its nodes, the rest only when a node runs.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..facechain.errors import ModelFileError, RecordError, TrainingError
from ..facechain.names import checked_name, inside

PACK = Path(__file__).resolve().parents[1]
PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif", ".gif"}

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


def own_folder(name: str) -> Path:
    """ComfyUI/models/facechain/<name>: people, styles. Not made until something is written."""
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


def style_files() -> list[Path]:
    """JSON files of styles: the pack's own, then the user's, which replace those of the same name."""
    files = {path.stem: path for folder in (PACK / "styles", own_folder("styles")) for path in folder.glob("*.json")}
    files.pop("schema", None)
    return [files[name] for name in sorted(files)]


def style_names() -> list[str]:
    return [path.stem for path in style_files()]


def model_folder(name: str) -> Path:
    """The first folder of that kind that ComfyUI knows ("loras"), where new files go."""
    import folder_paths

    return Path(folder_paths.get_folder_paths(name)[0])


def find_model(kind: str, name: str) -> Path | None:
    """A model file by the name ComfyUI lists it under, in any of the folders of that kind."""
    import folder_paths

    path = folder_paths.get_full_path(kind, name)
    return Path(path) if path else None


# --- progress and cancel -------------------------------------------------------------


def progress_bar(total: int) -> Progress:
    """A function (done, total=None, preview=None) that moves the running node's progress bar.

    preview: a Pillow picture shown on the node. Raises ComfyUI's interrupt when the user cancelled.
    """
    import comfy.utils

    bar = comfy.utils.ProgressBar(total)

    def advance(done: int, total: int | None = None, preview: Any = None) -> None:
        bar.update_absolute(done, total, ("JPEG", preview, 512) if preview is not None else None)

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
    Raises ModelFileError when the file is absent.
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
    weights = comfy.utils.load_torch_file(str(path), safe_load=True)
    model, clip = comfy.sd.load_lora_for_models(model, clip, weights, missing_model, missing_clip)
    for patcher in [model] * (model is not None) + [getattr(clip, "patcher", None)] * (clip is not None):
        patcher.set_attachments(PERSON_LORAS, applied_person_loras(patcher) | {lora_name: weight})
    return model, clip


# --- styles and conditioning -----------------------------------------------------------


def style_file(name: str) -> Path:
    """The file of a listed style. Raises RecordError for a name that is not listed."""
    files = {path.stem: path for path in style_files()}
    if name not in files:
        near = get_close_matches(str(name), files, 1)
        folder = own_folder("styles")
        raise RecordError(
            f"there is no style {name!r}",
            f"Did you mean {near[0]!r}" if near else f"Choose one from the list, or put {name}.json into {folder}",
        )
    return files[name]


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
    from safetensors import SafetensorError

    try:
        new_model, new_clip = _core_node("LoraLoader").load_lora(model, clip, name, strength, strength)
    except (SafetensorError, ValueError, OSError) as error:
        raise ModelFileError(f"the LoRA {name} cannot be read ({error})", "Download the file again") from error
    return new_model, new_clip, _patches(new_model, new_clip) > _patches(model, clip)


def _patches(model: Any, clip: Any) -> int:
    return sum(len(entries) for patcher in (model, clip.patcher) for entries in patcher.patches.values())


def model_family(model: Any) -> str:
    """What a MODEL is, in the words of styles: "SD 1.5", "SDXL", "SD3", "Flux" or "other"."""
    names = [kind.__name__ for kind in type(model.model.model_config).__mro__]
    families = {"SD15": "SD 1.5", "SDXL": "SDXL", "SDXLRefiner": "SDXL", "SD3": "SD3", "Flux": "Flux"}
    return next((families[name] for name in names if name in families), "other")


def encode(clip: Any, text: str) -> Any:
    """CONDITIONING of a text, as core's CLIP Text Encode makes it."""
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def token_windows(clip: Any, text: str) -> tuple[int, int]:
    """(tokens, windows) of a text in the text encoder that needs most; CLIP reads 75 tokens a window."""
    towers = clip.tokenize(text, return_word_ids=True).values()
    # word id 0 marks what stands around the words: begin, end and padding
    return max((sum(word[2] != 0 for window in tower for word in window), len(tower)) for tower in towers)


def apply_controlnet(
    positive: Any, negative: Any, control_net: Any, maps: Any, strength: float, start: float, end: float, vae: Any
) -> tuple[Any, Any]:
    """Both CONDITIONINGs with the ControlNet, by core's node. maps: IMAGE; portrait i of a batch follows map i."""
    node = _core_node("ControlNetApplyAdvanced")
    return node.apply_controlnet(positive, negative, control_net, maps, strength, start, end, vae=vae)


def _core_node(name: str) -> Any:
    """A new instance of one of core's nodes, whose methods work outside a graph too."""
    return importlib.import_module("nodes").NODE_CLASS_MAPPINGS[name]()  # ComfyUI's nodes.py, not our folder


# --- training ------------------------------------------------------------------------


def training_progress(title: str) -> Callable[[int, int, list[float], float], None]:
    """A progress callback for a training: the node's bar, and every 2 s the loss curve on the node."""
    from ..facechain.training.curve import draw_curve, note_of

    advance = progress_bar(1)
    shown = time.monotonic()

    def report(step: int, steps: int, losses: list[float], seconds: float) -> None:
        nonlocal shown
        picture = None
        if time.monotonic() - shown > 2:
            shown = time.monotonic()
            picture = draw_curve(losses, steps, title, note_of(step, steps, losses, seconds))
        advance(step, steps, picture)

    return report


class TrainingHost:
    """What facechain.training.trainer.Host asks for, of the MODEL, CLIP and VAE of a graph."""

    def __init__(self, model: Any, clip: Any, vae: Any) -> None:
        import comfy.model_management as management
        import torch

        from ..facechain.training.lora_file import Base

        others = [name for name, weight in applied_person_loras(model).items() if weight]
        if others:
            raise TrainingError(
                f"the model already carries the person LoRA {others[0]}", "Connect the MODEL of the checkpoint itself"
            )
        self._model, self._clip, self._vae = model, clip, vae
        sampling = model.get_model_object("model_sampling")
        noise_levels = [float(sampling.percent_to_sigma(percent)) for percent in (0.01, 0.5, 0.99)]
        self.base = Base(
            model=_fingerprint(model, type(model.model).__name__, type(sampling).__mro__, noise_levels),
            clip=_fingerprint(clip.patcher, clip.layer_idx),
            vae=_fingerprint(vae.patcher),
            family=type(model.model.model_config).__name__,
        )
        self.device = model.load_device
        narrow = self.device.type == "cuda" and management.should_use_bf16(self.device)
        self.dtype = torch.bfloat16 if narrow else torch.float32
        self.layer_names: Mapping[str, str] = _lora_layer_names(model.model)

    def encode_images(self, images: Any) -> Any:
        with _inference():
            return self._vae.encode(images)

    def encode_caption(self, caption: str) -> Any:
        with _inference():
            return self._clip.encode_from_tokens_scheduled(self._clip.tokenize(caption))

    def load_model(self) -> Any:
        import comfy.model_management

        # as core's Train LoRA: room for the activations by putting everything else aside
        with _inference():
            comfy.model_management.load_models_gpu([self._model], memory_required=10**20, force_full_load=True)
        return self._model.model

    def conditions(self, model: Any, caption: Any, latents: Any) -> dict[str, Any]:
        embedding, extras = caption[0]
        noise = latents.to(self.device)
        size = {"width": latents.shape[-1] * 8, "height": latents.shape[-2] * 8}
        found = model.extra_conds(
            **{**extras, **size},
            cross_attn=embedding.to(self.device),
            noise=noise,
            device=self.device,
            prompt_type="positive",
        )
        return {name: c.process_cond(batch_size=len(latents), area=None).cond for name, c in found.items()}

    def options(self) -> dict[str, Any]:
        from comfy.ldm.modules.attention import attention_pytorch

        # core's choice for the CPU is slower in training, and needs up to twice the memory
        return {"optimized_attention_override": lambda _, *inputs, **options: attention_pytorch(*inputs, **options)}

    def find_lora(self, name: str) -> Path | None:
        return find_model("loras", name)

    def lora_folder(self) -> Path:
        return model_folder("loras")

    def check_cancel(self) -> None:
        check_cancel()

    def free_memory(self) -> None:
        import comfy.model_management

        comfy.model_management.soft_empty_cache()


def _inference() -> Any:
    """ComfyUI's own mode, for its own work in the midst of a training."""
    import torch

    return torch.inference_mode()


def _fingerprint(patcher: Any, *words: object) -> str:
    """Hash of a network's own weights and of the patches (LoRAs) that the graph has put on it so far.

    Independent of what other branches of the graph have patched into the same weights at the moment.
    """
    from ..facechain.training.fingerprint import weights_hash

    own = {
        key: patcher.backup[key].weight if key in patcher.backup else value
        for key, value in patcher.model.state_dict().items()
    }
    patches: list[tuple[str, Any]] = []
    strengths = []
    for key, entries in sorted(patcher.patches.items(), key=lambda item: str(item[0])):
        for index, (strength, weights, strength_model, offset, _) in enumerate(entries):
            leaves = list(_leaves(weights))
            tensors = [leaf for leaf in leaves if hasattr(leaf, "untyped_storage")]
            patches += [(f"patch {key} {index} {n}", tensor) for n, tensor in enumerate(tensors)]
            numbers = [leaf for leaf in leaves if isinstance(leaf, (int, float, str))]
            strengths.append([str(key), strength, strength_model, str(offset), *numbers])
    return weights_hash([*own.items(), *patches], [str(word) for word in words] + strengths)


def _leaves(value: Any) -> Iterator[Any]:
    """What a weight patch holds: a tensor, an adapter with its weights, or nested tuples of tensors and numbers."""
    value = getattr(value, "weights", value)
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _lora_layer_names(model: Any) -> dict[str, str]:
    """kohya's key by layer path: {"input_blocks.1.1...attn1.to_q": "lora_unet_down_blocks_0_attentions_0_..."}.

    Of core's several names for a layer, the one that other tools know comes last.
    """
    import comfy.lora

    keys = comfy.lora.model_lora_keys_unet(model, {})
    prefix, suffix = "diffusion_model.", ".weight"
    return {
        target[len(prefix) : -len(suffix)]: name
        for name, target in keys.items()
        if name.startswith("lora_unet_") and isinstance(target, str) and target.endswith(suffix)
    }
