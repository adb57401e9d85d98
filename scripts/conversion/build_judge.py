"""Inside the converter's environment: the judge's network for tests, compared with its original.

python -m conversion.build_judge SOURCES OUTPUT    (SOURCES: the unpacked @vladmandic/human)
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from .build import compare, run_onnx, smooth_image
from .recipes import JUDGE
from .tfjs_graph import MEAN_BGR, convert_face_features


def main(sources: Path, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    file = output / JUDGE.file
    file.write_bytes(convert_face_features(sources / JUDGE.source))
    image = smooth_image(file) * np.float32(255)
    compare(JUDGE, run_onnx(file, image), [_original(sources, image[..., ::-1] - MEAN_BGR)])


def _original(sources: Path, pixels: np.ndarray) -> np.ndarray:
    """What TensorFlow.js, as the package brings it, answers to the prepared picture [1, S, S, 3]."""
    asked, answered = sources / "input.json", sources / "output.json"
    asked.write_text(json.dumps({"shape": pixels.shape, "pixels": pixels.reshape(-1).tolist()}))
    script = Path(__file__).with_name("check_graph_model.mjs")
    package = sources / "package"
    subprocess.run(
        ["node", "--no-warnings", script, package, sources / JUDGE.source, "global_pooling/Mean", asked, answered],
        check=True,
    )
    return np.array(json.loads(answered.read_text()), np.float32)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
