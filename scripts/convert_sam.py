"""Rewrites a checkpoint of Segment Anything as safetensors, beside the original, for FaceChain Preprocess.

    python scripts/convert_sam.py path/to/the/checkpoint.pth

Run it with the Python of your ComfyUI, outside the server. The pickle is opened with torch's weights_only reader,
which makes tensors and nothing else; the node itself never opens pickles.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

_NOT_WEIGHTS = torch.serialization.pickle.UnpicklingError  # pyright: ignore[reportPrivateImportUsage] - the reader's own


def convert(source: Path) -> Path:
    """Write source's weights as <name>.safetensors beside it and return that path. Raises ValueError with the reason."""
    target = source.with_suffix(".safetensors")
    if target.exists():
        raise ValueError(f"{target} is already there; delete it to convert again")
    try:
        weights = torch.load(source, map_location="cpu", weights_only=True)
    except (_NOT_WEIGHTS, RuntimeError, EOFError, OSError) as error:
        raise ValueError(f"{source} cannot be read as plain weights: {error}") from error
    if not isinstance(weights, dict) or "image_encoder.pos_embed" not in weights:
        raise ValueError(f"{source} is not a SAM checkpoint: it has no image_encoder.pos_embed")
    unfinished = target.with_name(target.name + ".tmp")
    save_file({name: value.contiguous() for name, value in weights.items()}, unfinished)
    unfinished.replace(target)
    return target


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    try:
        print(convert(parser.parse_args().checkpoint))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
