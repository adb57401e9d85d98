"""The engine inswapper, with a small network of the same interface; insightface's own class is the yardstick."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_fusion import person_of
from tiny_insightface import write_network, write_swapper

from facechain.errors import FaceChainError, ModelFileError
from facechain.faces import engine
from facechain.faces.base import Face, FaceEngine
from facechain.fusion import Strength, fuse_pictures, swapper_of
from facechain.fusion.inswapper import FILE, Swapper, check_embedder
from facechain.images import from_pixels, to_pixels

ABSENT = [name for name in ("insightface", "onnx", "cv2") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(
    bool(ABSENT), reason=f"{', '.join(ABSENT)} not installed (install.py --insightface installs what is needed)"
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """Like ComfyUI/models/insightface: buffalo_l with a real detector and a small recogniser, and a small inswapper."""
    root = tmp_path_factory.mktemp("insightface")
    folder = root / "models" / "buffalo_l"
    folder.mkdir(parents=True)
    shutil.copyfile(shared_data / "models" / "scrfd_2.5g_kps.onnx", folder / "det_10g.onnx")
    write_network(folder / "w600k_r50.onnx", 112, 512, 14)
    write_swapper(root / FILE)
    return root


@pytest.fixture(scope="module")
def swapper(root: Path) -> Swapper:
    swapper = swapper_of("inswapper", folders=[root])
    assert swapper is not None
    return swapper


@pytest.fixture(scope="module")
def eng(root: Path) -> FaceEngine:
    return engine("insightface", folders=[root])


@pytest.fixture(scope="module")
def gentleman(shared_data: Path) -> np.ndarray:
    return np.asarray(Image.open(shared_data / "styles_preview/Gentleman.jpg").convert("RGB"))


def only(eng: FaceEngine, pixels: np.ndarray) -> Face:
    return eng.analyze([pixels])[0][0]


def test_the_networks_answer_is_that_of_insightfaces_own_class(
    root: Path, swapper: Swapper, eng: FaceEngine, gentleman: np.ndarray
) -> None:
    """Same alignment, same embedding map, same order of colours: the aligned square differs by rounding alone."""
    from insightface.app.common import Face as Package  # pyright: ignore[reportMissingImports]
    from insightface.model_zoo.inswapper import INSwapper  # pyright: ignore[reportMissingImports]

    face = only(eng, gentleman)
    embedding = np.asarray(face.embedding) * 3  # of any length
    peer = INSwapper(model_file=str(root / FILE), session=swapper.net)
    bgr = np.ascontiguousarray(gentleman[..., ::-1])
    wanted, matrix = peer.get(bgr, Package(kps=face.points), Package(embedding=embedding), paste_back=False)

    latent = swapper.latent(embedding)
    drawn, inside = swapper.swap(gentleman.astype(np.float32) / 255, face.points, latent)
    rows, columns = np.mgrid[12:116:4, 12:116:4].reshape(2, -1)  # pixels of the square, looked up in the picture
    turn = np.linalg.inv(matrix[:, :2])
    x, y = turn @ (np.stack([columns, rows]) - matrix[:, 2:])
    chosen = (x > 1) & (y > 1) & (x < 510) & (y < 510)
    at = y[chosen].round().astype(int), x[chosen].round().astype(int)
    difference = np.abs(drawn[at] * 255 - wanted[rows, columns][chosen][:, ::-1])
    assert chosen.sum() > 300 and float(np.median(difference)) < 2.5 and float(difference.mean()) < 6
    assert inside[at].min() > 0.9 and inside[0, 0] == 0


def test_who_it_is_goes_through_the_embedding_map(tmp_path: Path, swapper: Swapper) -> None:
    """The last initialiser counts: an embedding that another map sends elsewhere gives another face."""
    emap = write_swapper(tmp_path / FILE, emap=np.roll(np.eye(512, dtype=np.float32), 1, axis=1))
    other = swapper_of("inswapper", folders=[tmp_path])
    assert other is not None and np.array_equal(other.emap, emap)
    embedding = np.random.default_rng(0).normal(size=512).astype(np.float32)
    unit = embedding / np.linalg.norm(embedding)
    assert np.allclose(other.latent(embedding)[0], np.roll(unit, 1), atol=1e-6)
    plain = unit @ swapper.emap
    assert np.allclose(swapper.latent(embedding)[0], plain / np.linalg.norm(plain), atol=1e-5)
    grey, points = np.full((128, 128, 3), 0.5, np.float32), np.array([[46, 52], [82, 51], [64, 72], [50, 92], [79, 92]])
    drawn = [one.swap(grey, points.astype(float), one.latent(embedding))[0][64, 64] for one in (swapper, other)]
    assert np.abs(drawn[0] - drawn[1]).max() > 0.02


def test_pictures_are_fused_inside_the_mask_alone(
    swapper: Swapper, eng: FaceEngine, gentleman: np.ndarray, shared_data: Path
) -> None:
    person = person_of(shared_data / "people/man/portrait.png")  # made with another embedder: read anew
    image = from_pixels(gentleman) * 0.987
    done = fuse_pictures(image, person, eng, Strength(), swapper=swapper)
    outside = done.masks == 0
    assert torch.equal(done.images[outside], image[outside])
    changed = (done.images != image).any(-1)
    assert 0.03 < float(changed.float().mean()) < 0.5
    report = done.reports[0]
    assert report["fusion"] == "inswapper" and "non-commercial" in report["licence"]
    assert report["changed"][0]["photo"] == "portrait.png"
    # what the network drew is there: the embedded engine's picture is another one
    warped = fuse_pictures(image, person, eng, Strength())
    assert float((done.images - warped.images).abs().max()) > 0.1
    assert torch.equal(fuse_pictures(image, person, eng, Strength(0.0), swapper=swapper).images, image)
    half = fuse_pictures(image, person, eng, Strength(0.5), swapper=swapper).images
    assert float((half - image).abs().mean()) < 0.8 * float((done.images - image).abs().mean())


def test_glasses_stay_with_the_network_too(swapper: Swapper, eng: FaceEngine, shared_data: Path) -> None:
    target = np.asarray(Image.open(shared_data / "styles_preview/Cybernetics_punk.jpg").convert("RGB"))
    person = person_of(shared_data / "people/man/portrait.png")
    mesh = only(eng, target).mesh
    assert mesh is not None
    low, high = mesh[:, :2].min(0).astype(int), mesh[:, :2].max(0).astype(int)
    middle = slice(low[1] + (high[1] - low[1]) // 5, low[1] + (high[1] - low[1]) // 2), slice(low[0], high[0])
    frame = target[middle].max(-1) < 50
    new = to_pixels(fuse_pictures(from_pixels(target), person, eng, Strength(shape=0), swapper=swapper).images)[0]
    assert frame.sum() > 1000 and float((new[middle][frame].max(-1) < 90).mean()) > 0.85


def test_embeddings_that_mean_nothing_to_it_are_refused(
    swapper: Swapper, gentleman: np.ndarray, shared_data: Path
) -> None:
    person = person_of(shared_data / "people/man/portrait.png")
    with pytest.raises(FaceChainError, match=r"not those of dlib-resnet-128.*Set engine to 'insightface'"):
        fuse_pictures(from_pixels(gentleman), person, engine(), Strength(), swapper=swapper)
    with pytest.raises(FaceChainError, match=r"glintr100.*stranger.*buffalo_l\.zip"):
        check_embedder("insightface/antelopev2/glintr100", 512, swapper)
    with pytest.raises(FaceChainError, match="512 numbers"):
        check_embedder("insightface/own/small", 128, swapper)


def test_a_file_that_is_absent_or_misplaced_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="non-commercial research") as caught:
        swapper_of("inswapper", folders=[tmp_path])
    assert str(tmp_path / FILE) in caught.value.message
    deep = tmp_path / "models" / "buffalo_l"
    deep.mkdir(parents=True)
    write_swapper(deep / FILE)
    with pytest.raises(ModelFileError) as caught:
        swapper_of("inswapper", folders=[tmp_path])
    assert str(deep / FILE) in caught.value.message and f"Move it to {tmp_path / FILE}" in caught.value.remedy
    with pytest.raises(ModelFileError, match="no folder"):
        swapper_of("inswapper")
    assert swapper_of("embedded") is None
    with pytest.raises(FaceChainError, match="no face fusion 'reactor'"):
        swapper_of("reactor")


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"not a network")
    with pytest.raises(ModelFileError, match="damaged"):
        swapper_of("inswapper", folders=[tmp_path])
    other = tmp_path / "other"
    other.mkdir()
    write_network(other / FILE, 112, 512, 14)
    with pytest.raises(ModelFileError, match="not a face swap network"):
        swapper_of("inswapper", folders=[other])
    optimised = tmp_path / "optimised"
    optimised.mkdir()
    write_swapper(optimised / FILE, emap=np.zeros((4, 4), np.float32))
    with pytest.raises(ModelFileError, match=r"embedding map \[512, 512\], but with \[4, 4\]"):
        swapper_of("inswapper", folders=[optimised])
