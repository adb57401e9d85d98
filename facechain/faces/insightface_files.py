"""Where insightface's model packs lie, and what is wrong where none can be used. Looks at folders only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ModelFileError

# Where several packs are present, the first of these is taken. insightface's model zoo gives for recognition over all
# races (MR-ALL) 91.25 for buffalo_l's ResNet-50 and 90.66 for antelopev2's ResNet-100, which takes twice as long.
PREFERRED = ("buffalo_l", "antelopev2")
LICENCE = "insightface's public weights are for non-commercial research only"
DOWNLOAD = "https://github.com/deepinsight/insightface/releases/tag/v0.7"
_EXAMPLE = PREFERRED[0]
# Landmark and swap networks of the packs, up to 550 MB, which nothing here uses.
_UNUSED = {"1k3d68.onnx", "2d106det.onnx", "inswapper_128.onnx"}


@dataclass(frozen=True)
class Pack:
    """A folder <root>/models/<name> and its ONNX files, ordered by name, without those that are not used."""

    name: str
    folder: Path
    files: tuple[Path, ...]


def find_pack(roots: Sequence[Path]) -> Pack:
    """The model pack that the engine uses. roots: folders such as ComfyUI/models/insightface, first one first.

    Raises ModelFileError with the exact path that is expected where there is none.
    """
    if not roots:
        raise ModelFileError("no folder for insightface's models is known", "Give the engine its model folders")
    packs = [pack for root in roots for pack in _packs(root)]
    if not packs:
        raise _nothing_there(roots)
    known = [pack for name in PREFERRED for pack in packs if pack.name == name]
    return (known or packs)[0]


def _packs(root: Path) -> list[Pack]:
    found = [(folder, _networks(folder)) for folder in _folders(root / "models")]
    return [Pack(folder.name, folder, files) for folder, files in found if files]


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _networks(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(path for path in folder.glob("*.onnx") if path.name not in _UNUSED))


def _nothing_there(roots: Sequence[Path]) -> ModelFileError:
    """What a user most likely did instead, and what to do about it."""
    for root in roots:
        models = root / "models"
        for folder in _folders(models):
            for inner in _folders(folder):
                if _networks(inner):
                    return ModelFileError(
                        f"insightface's models were unpacked one folder too deep: {inner}",
                        f"Move the .onnx files from {inner} up into {folder}",
                    )
        for archive in sorted(models.glob("*.zip")) if models.is_dir() else []:
            return ModelFileError(
                f"insightface's models are still packed: {archive}",
                f"Unpack it, so that its files are {models / archive.stem / '*.onnx'}",
            )
        for folder in (root, models, *_folders(root)):
            if folder.is_dir() and _networks(folder):
                name = folder.name if folder not in (root, models) else _EXAMPLE
                return ModelFileError(
                    f"insightface's models lie in {folder}, where they are not looked for",
                    f"Move the .onnx files to {models / name}",
                )
        for folder in _folders(models):
            return ModelFileError(f"{folder} holds no .onnx file that can be used", _remedy(folder))
    expected = roots[0] / "models" / _EXAMPLE
    return ModelFileError(f"there are no insightface models: {expected / '*.onnx'} is missing", _remedy(expected))


def _remedy(folder: Path) -> str:
    name = folder.name if folder.name in PREFERRED else _EXAMPLE
    return f"Download {name}.zip from {DOWNLOAD} and unpack it into {folder} ({LICENCE}), or choose engine 'embedded'"
