"""The insightface engine: a real SCRFD detector, and small networks of the interface of the others, made here."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_insightface import write_network

from facechain import onnx
from facechain.errors import ModelFileError
from facechain.faces import engine
from facechain.faces.base import Face, FaceEngine, distance
from facechain.faces.insightface_files import find_pack
from facechain.faces.orientation import analyze_any_orientation

NEEDED = ("insightface", "onnx", "cv2")
ABSENT = [name for name in NEEDED if importlib.util.find_spec(name) is None]
with_package = pytest.mark.skipif(
    bool(ABSENT), reason=f"{', '.join(ABSENT)} not installed (install.py --insightface installs what is needed)"
)


def picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """Like ComfyUI/models/insightface, with one pack: SCRFD, 112 -> 512 embedding, 96 -> man of 40 years."""
    if ABSENT:
        pytest.skip(f"{', '.join(ABSENT)} not installed")
    root = tmp_path_factory.mktemp("insightface")
    folder = root / "models" / "antelopev2"
    folder.mkdir(parents=True)
    shutil.copyfile(shared_data / "models" / "scrfd_2.5g_kps.onnx", folder / "scrfd_2.5g_bnkps.onnx")
    write_network(folder / "glintr100.onnx", 112, 512, 14)
    write_network(folder / "genderage.onnx", 96, 3, 4, [0.1, 0.9, 0.4])
    return root


@pytest.fixture(scope="module")
def eng(models: Path) -> FaceEngine:
    return engine("insightface", folders=[models])


def only(engine: FaceEngine, image: np.ndarray, **wanted: bool) -> Face:
    (face,) = engine.analyze([image], **wanted)[0]
    return face


# --- with the package ---


@with_package
def test_the_face_is_where_the_embedded_engine_finds_it(eng: FaceEngine, shared_data: Path) -> None:
    for name in ("man/pose1.png", "woman/pose3.png", "man/portrait.png"):
        photo = picture(shared_data / "people" / name)
        face, other = only(eng, photo, embed=False), only(engine(), photo, embed=False)
        assert np.hypot(*np.subtract(face.center, other.center)) < 0.05 * other.width
        assert abs(face.width / other.width - 1) < 0.1
        assert face.mesh is not None and other.mesh is not None and face.mesh.shape == (468, 3)
        assert np.abs(face.mesh[:, :2] - other.mesh[:, :2]).mean() < 0.02 * other.width
        assert np.abs(face.points - other.points).max() < 0.1 * other.width
        assert abs(face.yaw - other.yaw) < 5 and abs(face.roll - other.roll) < 3 and abs(face.pitch - other.pitch) < 6
        assert face.embedding is None and face.age is None and face.score > 0.75


@with_package
def test_all_faces_of_a_group_largest_first(eng: FaceEngine, package_photos: dict[str, Path]) -> None:
    faces = eng.analyze([picture(package_photos["group"])], embed=False)[0]
    assert len(faces) == 6 and all(face.mesh is not None for face in faces)
    assert [face.area for face in faces] == sorted((face.area for face in faces), reverse=True)


@with_package
def test_embeddings_are_the_recognition_networks(eng: FaceEngine, models: Path, shared_data: Path) -> None:
    """Unit vectors of 512 numbers of the aligned face, in the order of colours insightface uses."""
    from insightface.utils import face_align  # pyright: ignore[reportMissingImports]

    photo = picture(shared_data / "people/man/pose2.png")
    face = only(eng, photo)
    assert face.embedding is not None and face.embedding.shape == (512,)
    assert float(np.linalg.norm(face.embedding)) == pytest.approx(1, abs=1e-5)
    assert face.embedder == eng.embedder == "insightface/antelopev2/glintr100"
    chip = face_align.norm_crop(np.ascontiguousarray(photo[..., ::-1]), face.points)[..., ::-1]
    values = (chip.astype(np.float32) - 127.5) / 127.5
    net = onnx.session(models / "models/antelopev2/glintr100.onnx")
    (wanted,) = net.run(None, {"data": np.ascontiguousarray(values.transpose(2, 0, 1)[None])})
    wanted = np.asarray(wanted)[0]
    wanted = wanted / np.linalg.norm(wanted)
    assert distance(face.embedding, wanted) < 0.02
    other = only(eng, picture(shared_data / "people/woman/pose2.png"))
    assert other.embedding is not None and distance(face.embedding, other.embedding) > 0.05


@with_package
def test_age_and_gender_come_from_the_pack(eng: FaceEngine, models: Path, shared_data: Path, tmp_path: Path) -> None:
    photo = picture(shared_data / "people/woman/pose1.png")
    face = only(eng, photo, embed=False, attributes=True)
    assert (face.age, face.gender) == (40, "man")  # as the small network always says
    bare = tmp_path / "models" / "own pack"
    shutil.copytree(models / "models" / "antelopev2", bare)
    (bare / "genderage.onnx").unlink()
    face = only(engine("insightface", folders=[tmp_path]), photo, embed=False, attributes=True)
    assert face.gender == "woman" and face.age is not None and 10 < face.age < 40  # the embedded network's answer


@with_package
def test_a_face_that_fills_the_picture(eng: FaceEngine, shared_data: Path) -> None:
    photo = picture(shared_data / "people/man/portrait.png")
    x1, y1, x2, y2 = (int(v) for v in only(engine(), photo, embed=False).box)
    close = photo[y1 : y2 + 10, x1:x2]
    close = np.asarray(Image.fromarray(close).resize((1200, 1200 * close.shape[0] // close.shape[1])))
    assert only(eng, close, embed=False).width > 0.8 * close.shape[1]


@with_package
@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 900, 3), (40, 30, 3), (64, 64), (80, 80, 4), (512, 512, 3)], ids=str)
def test_nobody_is_nobody(eng: FaceEngine, shape: tuple[int, ...]) -> None:
    assert eng.analyze([np.full(shape, 90, np.uint8)]) == [[]]


@with_package
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_photos_are_turned_upright(eng: FaceEngine, shared_data: Path, turns: int) -> None:
    photo = np.rot90(picture(shared_data / "people/woman/pose2.png"), turns)
    found, faces = analyze_any_orientation(eng, photo)
    assert (found + turns) % 4 == 0
    assert len(faces) == 1 and abs(faces[0].roll) < 35 and faces[0].embedder == eng.embedder


@with_package
def test_a_photo_becomes_a_person_and_is_ranked(eng: FaceEngine, shared_data: Path) -> None:
    from facechain.images import from_pixels
    from facechain.photos.intake import IntakeOptions, take_in
    from facechain.photos.look import Photos
    from facechain.rank import rank

    image = from_pixels(picture(shared_data / "people/man/pose1.png"))
    intake = take_in(Photos([image]), ["a.png"], eng, IntakeOptions(retouch=0))
    assert intake.person.embedder == "insightface/antelopev2/glintr100"
    assert intake.person.embeddings.shape == (1, 512)
    (verdict,) = rank([image], intake.person, eng).judged
    assert verdict.cosine is not None and verdict.cosine > 0.95
    about = intake.as_json()
    assert "non-commercial research" in about and "CPUExecutionProvider" in about


@with_package
def test_the_provider_and_the_licence_are_said(eng: FaceEngine, models: Path, caplog: pytest.LogCaptureFixture) -> None:
    info = eng.info()
    assert (info.engine, info.provider, info.warning) == ("insightface", "CPUExecutionProvider", "")
    assert "non-commercial research" in info.licence
    assert engine().info().provider == "CPUExecutionProvider" and not engine().info().licence
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime is the one for NVIDIA cards")
    on_card = engine("insightface", folders=[models], gpu=True).info()
    assert on_card.provider == "CPUExecutionProvider"
    assert "runs on the CPU although this machine has an NVIDIA card" in on_card.warning
    assert "install.py" in on_card.warning and "built without CUDA" in on_card.warning
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@with_package
def test_a_pack_without_recognition_is_named(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "buffalo_l"
    folder.mkdir(parents=True)
    shutil.copyfile(models / "models/antelopev2/scrfd_2.5g_bnkps.onnx", folder / "det_10g.onnx")
    with pytest.raises(ModelFileError, match=r"buffalo_l holds no network for face recognition \(only det_10g.onnx\)"):
        engine("insightface", folders=[tmp_path]).analyze([np.zeros((64, 64, 3), np.uint8)])


# --- without ---


def test_without_the_package_the_error_has_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    folder = tmp_path / "models" / "buffalo_l"
    folder.mkdir(parents=True)
    (folder / "det_10g.onnx").touch()
    for name in [name for name in sys.modules if name.split(".")[0] == "insightface"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "insightface", None)
    with pytest.raises(ModelFileError, match="insightface") as caught:
        _ = engine("insightface", folders=[tmp_path]).embedder
    assert sys.executable in caught.value.remedy and "install.py --insightface" in caught.value.remedy


def make(root: Path, *files: str) -> None:
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_the_pack_that_recognises_best_is_taken(tmp_path: Path) -> None:
    make(tmp_path, "models/antelopev2/glintr100.onnx", "models/antelopev2/1k3d68.onnx")
    assert find_pack([tmp_path / "absent", tmp_path]).name == "antelopev2"
    make(tmp_path, "models/a_pack/net.onnx")
    pack = find_pack([tmp_path])
    assert pack.name == "antelopev2" and [path.name for path in pack.files] == ["glintr100.onnx"]
    make(tmp_path, "models/buffalo_l/w600k_r50.onnx")
    assert find_pack([tmp_path]).name == "buffalo_l"


@pytest.mark.parametrize(
    ("files", "message", "remedy"),
    [
        ([], "{root}/models/buffalo_l/*.onnx is missing", "unpack it into {root}/models/buffalo_l"),
        (["models/antelopev2/notes.txt"], "{root}/models/antelopev2 holds no .onnx file", "Download antelopev2.zip"),
        (
            ["models/antelopev2/antelopev2/glintr100.onnx"],
            "one folder too deep: {root}/models/antelopev2/antelopev2",
            "from {root}/models/antelopev2/antelopev2 up into {root}/models/antelopev2",
        ),
        (["models/buffalo_l.zip"], "still packed: {root}/models/buffalo_l.zip", "{root}/models/buffalo_l/*.onnx"),
        (["buffalo_l/det_10g.onnx"], "lie in {root}/buffalo_l", "to {root}/models/buffalo_l"),
        (["models/det_10g.onnx"], "lie in {root}/models, where", "to {root}/models/buffalo_l"),
    ],
    ids=["nothing", "empty folder", "too deep", "packed", "no models folder", "no pack folder"],
)
def test_misplaced_models_are_explained(tmp_path: Path, files: list[str], message: str, remedy: str) -> None:
    make(tmp_path, *files)
    with pytest.raises(ModelFileError) as caught:
        engine("insightface", folders=[tmp_path]).analyze([np.zeros((64, 64, 3), np.uint8)])
    assert message.format(root=tmp_path) in caught.value.message
    assert remedy.format(root=tmp_path) in caught.value.remedy


def test_unusable_engines_are_named() -> None:
    with pytest.raises(ModelFileError, match="no folder for insightface's models"):
        engine("insightface").info()
    unused: Any = engine("insightface", folders=[Path("/absent")])
    assert unused.name == "insightface"  # nothing is read before it is used
