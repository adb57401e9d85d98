"""Inside the converter's environment: make the ONNX files, and compare each with its original.

python -m conversion.build SOURCES OUTPUT    (SOURCES: a folder with one folder for each package)
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime  # pyright: ignore[reportMissingImports]

from . import tfjs, tflite
from .recipes import FACE_API, MEDIAPIPE, RECIPES, Recipe

# Largest difference allowed, as a part of the output's largest value: the originals run
# in other orders of summation, nothing else.
TOLERANCE = 1e-4
_FACE_API_NETS = {"faceapi_rec.onnx": "faceRecognitionNet", "age_gender.onnx": "ageGenderNet"}


def folder_of(sources: Path, recipe: Recipe) -> Path:
    return sources / ("mediapipe" if recipe.package is MEDIAPIPE else "face_api")


def main(sources: Path, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    for recipe in RECIPES:
        (output / recipe.file).write_bytes(_convert(folder_of(sources, recipe) / recipe.source, recipe))
    originals = _face_api_outputs(sources, output)
    for recipe in RECIPES:
        image = _test_image(output / recipe.file)
        ours = run_onnx(output / recipe.file, image)
        if recipe.package is FACE_API:
            theirs = originals[_FACE_API_NETS[recipe.file]]
        else:
            theirs = _run_tflite(folder_of(sources, recipe) / recipe.source, image, recipe)
        compare(recipe, ours, theirs)


def _convert(source: Path, recipe: Recipe) -> bytes:
    if recipe.package is MEDIAPIPE:
        return tflite.convert(source, recipe.file.removesuffix(".onnx"), dict(recipe.outputs))
    convert = tfjs.convert_recognition if "recognition" in source.name else tfjs.convert_age_gender
    return convert(source)


def _test_image(file: Path) -> np.ndarray:
    """Smooth colours [1, S, S, 3] float32: 0..255 for face-api's networks, 0..1 for MediaPipe's."""
    return smooth_image(file) * np.float32(255 if file.name in _FACE_API_NETS else 1)


def smooth_image(file: Path) -> np.ndarray:
    """Smooth colours [1, S, S, 3] float32, 0..1, of the size that the network reads."""
    side = _session(file).get_inputs()[0].shape[1]
    line = np.linspace(0, 6.28, side, dtype=np.float32)
    waves = [np.sin(line[None] * (2 + c)) * np.cos(line[:, None] * (3 - c)) for c in range(3)]
    return (np.stack(waves, -1)[None] + 1) / 2


def _session(file: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])


def run_onnx(file: Path, image: np.ndarray) -> list[np.ndarray]:
    return [np.asarray(out) for out in _session(file).run(None, {"image": image})]


def _run_tflite(source: Path, image: np.ndarray, recipe: Recipe) -> list[np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter  # pyright: ignore[reportMissingImports]

    interpreter = Interpreter(str(source))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    by_name = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}
    return [interpreter.get_tensor(by_name[name]) for name, _ in recipe.outputs]


def _face_api_outputs(sources: Path, output: Path) -> dict[str, list[np.ndarray]]:
    """What face-api's own JavaScript answers to the test images."""
    inputs = {}
    for file, net in _FACE_API_NETS.items():
        image = _test_image(output / file)
        inputs[net] = {"side": image.shape[1], "pixels": image.reshape(-1).tolist()}
    asked, answered = sources / "inputs.json", sources / "outputs.json"
    asked.write_text(json.dumps(inputs))
    script = Path(__file__).with_name("check_face_api.mjs")
    package = sources / "face_api" / "package"
    subprocess.run(["node", "--no-warnings", script, package, asked, answered], check=True)
    return {net: [np.array(o, np.float32) for o in outs] for net, outs in json.loads(answered.read_text()).items()}


def compare(recipe: Recipe, ours: list[np.ndarray], theirs: list[np.ndarray]) -> None:
    differences = []
    for a, b in zip(ours, theirs, strict=True):
        difference, largest = float(np.abs(a.reshape(-1) - b.reshape(-1)).max()), float(np.abs(b).max())
        differences.append(f"{difference:.1e} of {largest:.3g}")
        if difference > TOLERANCE * max(largest, 1.0):
            raise SystemExit(f"{recipe.file} differs from its original by {difference}")
    print(f"{recipe.file:40} largest difference {', '.join(differences)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
