"""All that the pack asks of ComfyUI beyond the node schema: folders, progress, models.

The only module that imports ``folder_paths`` or ``comfy.*``. Both are imported inside the
functions: cheap ones run while the server lists its nodes, the rest only when a node runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


# --- choices of core nodes -----------------------------------------------------------


def sampler_names() -> list[str]:
    import comfy.samplers

    return list(comfy.samplers.KSampler.SAMPLERS)


def scheduler_names() -> list[str]:
    import comfy.samplers

    return list(comfy.samplers.KSampler.SCHEDULERS)
