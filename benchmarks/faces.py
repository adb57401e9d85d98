"""How fast and how sure faces are found: the embedded engine against insightface and dlib; whole Preprocess; accuracy.

    python benchmarks/faces.py [--data ../shared/data] [--install-peers] [--only rotation] [--share 1/4] [--counts 3 30]

The peers live in an environment of their own, `.host/peers` (120 MB; --install-peers makes it), never in the host's.
A peer that is missing there is named. All detectors read the same pictures, decoded, in turns, in one process with one
thread each; CPU time counts, so that other work on the machine changes little. Faces are counted against what a
person sees in the pictures. Measured on 2 cores of an AMD EPYC, CPU only; detection and Preprocess with nothing else running, the rest beside other work:

Detection (insightface 2.1, dlib 20.0.1, onnxruntime 1.32; one round), 96 pictures with 102 faces: 96 pictures/s, 10.5
times insightface's SCRFD 2.5g at 640 (9.2); with mesh, angles and sharpness, which is what the nodes run, 34 pictures/s,
3.7 times. Each found all 102 and nothing else; the views of the row without mesh were chosen on these same pictures
(one view of the whole alone found 101). dlib's HOG: 0.8 times insightface, all found, 1 false.

Ages read from 94 adults (82 women, 12 men), as they are: women 12.4 to 31.3, middle 17.0; men 18.4 to 28.9, middle
20.5: too low, but none below 10, from where the prompt says child; nor with smoothed skin, a face of 60 pixels, too
much or too little light. Blurred by 2 % of the face's width one of 94 is. Gender: 94 of 94 in each of the six
conditions. There are no pictures of children to measure the other side.

Rotation: all 96 pictures in 24 turns each, run in shares: 2304 of 2304 right (all faces found, nobody added, the photo
upright), 0.3 s of CPU time each.

Preprocess, photos of 2048 pixels, nothing else running: 3 in 3.5 s with one thread and 2.7 s with two (1.30 times as
fast), 30 in 20.6 s and 15.1 s (1.36 times; 1.8 at best, as 91 % of the work is done in workers). Peak of memory above the
photos: 13 and 124 MB for 3, 126 and 213 MB for 30.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT)]

import comfy_host  # noqa: E402

if TYPE_CHECKING:
    from facechain.faces.base import Face

PEERS = comfy_host.HOST / "peers"
# insightface without its requirements: they would bring a second opencv; see install.py
PEER_PACKAGES = [
    ["onnxruntime>=1.17", "opencv-python-headless", "onnx", "scikit-image", "scipy", "requests", "tqdm", "Pillow"],
    ["--no-deps", "insightface==2.1"],
    ["dlib-bin"],
]
SEVERAL = {"5.jpg": 2, "group.jpg": 6}  # every other picture shows one face
MEN = (
    *("Cowboy.jpg", "Gentleman.jpg", "Hiphop.jpg", "Men_suit.jpg", "West_cowboy.jpg"),
    *("templates/3.jpg", "templates/4.jpg"),
)
TURN = 15  # degrees
PARTS = ["detection", "attributes", "rotation", "preprocess"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--peers", type=Path, default=PEERS, help="virtual environment with the peers")
    parser.add_argument("--install-peers", action="store_true", help="make that environment first")
    parser.add_argument("--only", choices=PARTS, nargs="*", default=PARTS, help="measure these parts alone")
    parser.add_argument(
        "--share", default="1/1", help="2/4: the second of four shares of the pictures for the rotations"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--counts", type=int, nargs="*", default=[3, 30], help="photos for the whole Preprocess")
    parser.add_argument("--part", choices=["detection", "preprocess"], help=argparse.SUPPRESS)  # in its own process
    arguments = parser.parse_args()
    if arguments.part == "detection":
        return detection(arguments.data, arguments.rounds)
    comfy_host.reenter(comfy_host.prepare())
    if arguments.part == "preprocess":
        return preprocess(arguments.data, arguments.counts[0])
    if arguments.install_peers:
        install_peers(arguments.peers)
    peers = python_of(arguments.peers)
    again = [__file__, "--data", str(arguments.data.resolve()), "--rounds", str(arguments.rounds)]
    if "detection" in arguments.only and not peers.exists():
        print("insightface, dlib: missing; run this with --install-peers to compare with them")
    python = str(peers) if peers.exists() else sys.executable
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    if "detection" in arguments.only:
        subprocess.run([python, *again, "--part", "detection"], check=True, env=one_thread)
    if "attributes" in arguments.only:
        attributes(arguments.data)
    if "rotation" in arguments.only:
        number, shares = map(int, arguments.share.split("/"))
        rotation(files_of(arguments.data)[number - 1 :: shares])
    for count in arguments.counts if "preprocess" in arguments.only else []:
        compare_threads([sys.executable, *again, "--part", "preprocess", "--counts", str(count)])


def python_of(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def install_peers(environment: Path) -> None:
    if not python_of(environment).exists():
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    for packages in PEER_PACKAGES:
        done = subprocess.run([python_of(environment), "-m", "pip", "install", "--quiet", *packages])
        if done.returncode:
            print(f"{packages[-1]}: not to be had for this platform")


def files_of(data: Path) -> list[Path]:
    photos = [comfy_host.HOST / "photos" / name for name in ("astronaut.png", "group.jpg")]
    folders = [("styles_preview", "*.jpg"), ("people", "*/*.png"), ("templates", "*.jpg")]
    found = [path for folder, pattern in folders for path in sorted((data / folder).glob(pattern))]
    return [*found, *(path for path in photos if path.is_file())]


def load(path: Path) -> Any:
    import numpy as np
    from PIL import Image

    return np.asarray(Image.open(path).convert("RGB"))


# --- detection, in the peers' environment -----------------------------------------


def detectors(data: Path) -> dict[str, Callable[[Any], int]]:
    """{name: faces counted in a picture}; peers that cannot be imported are named and left out."""
    from facechain.faces.embedded import find_faces

    found: dict[str, Callable[[Any], int]] = {
        "embedded, detection only": embedded_boxes,
        "embedded, with mesh, angles": lambda image: len(find_faces(image)),
    }
    for name, make in (("insightface, SCRFD 2.5g, 640", insightface_of), ("dlib, HOG", dlib_of)):
        try:
            found[name] = make(data)
        except ImportError as error:
            print(f"{name}: missing ({error}); run this with --install-peers")
    return found


def embedded_boxes(image: Any) -> int:
    """Boxes and points, as the peers give them, by the views of find_faces: the whole picture; from afar where it
    shows nobody; in parts where it shows several people."""
    from facechain.faces.detector import detect, tiles, whole

    height, width = image.shape[:2]
    all_of_it = whole(width, height)
    found = detect(image, [all_of_it]) or detect(image, [whole(width, height, zoom=0.5)])
    return len(detect(image, [all_of_it, *tiles(width, height, 2)])) if len(found) > 1 else len(found)


def insightface_of(data: Path) -> Callable[[Any], int]:
    """FaceAnalysis as its users run it, detection only, on a folder with the one network."""
    import tempfile

    import onnxruntime
    from insightface.app import FaceAnalysis  # pyright: ignore[reportMissingImports]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    root = Path(tempfile.mkdtemp()) / "scrfd"
    root.mkdir()
    (root / "scrfd_2.5g_kps.onnx").symlink_to(data / "models" / "scrfd_2.5g_kps.onnx")
    app = FaceAnalysis(
        str(root), allowed_modules=["detection"], providers=["CPUExecutionProvider"], sess_options=options
    )
    app.prepare(ctx_id=0, det_size=(640, 640))
    return lambda image: len(app.get(image[..., ::-1]))


def dlib_of(data: Path) -> Callable[[Any], int]:
    import dlib  # pyright: ignore[reportMissingImports]
    import numpy as np

    detector = dlib.get_frontal_face_detector()  # pyright: ignore[reportAttributeAccessIssue]
    return lambda image: len(detector(np.ascontiguousarray(image), 1))  # 1: enlarged once, as its examples do


def detection(data: Path, rounds: int) -> None:
    files = files_of(data)
    pictures = [load(path) for path in files]
    expected = [SEVERAL.get(path.name, 1) for path in files]
    engines = detectors(data)
    taken = {name: [0.0] * rounds for name in engines}
    counts: dict[str, list[int]] = {name: [] for name in engines}
    for count in engines.values():  # load everything first
        count(pictures[0])
    for turn in range(rounds):
        for picture in pictures:
            for name, count in engines.items():
                started = time.process_time()
                number = count(picture)
                taken[name][turn] += time.process_time() - started
                if turn == 0:
                    counts[name].append(number)
    print(f"\n{len(files)} pictures, {sum(expected)} faces, one thread; best of {rounds} rounds of CPU time")
    slowest = min(taken.get("insightface, SCRFD 2.5g, 640", [0.0]))
    for name in engines:
        best = min(taken[name])
        found = sum(min(a, b) for a, b in zip(counts[name], expected, strict=True))
        false = sum(max(a - b, 0) for a, b in zip(counts[name], expected, strict=True))
        ratio = f"{slowest / best:5.1f} x insightface" if slowest else ""
        speed = f"{len(files) / best:7.1f} pictures/s"
        print(f"{name:30} {speed}  {ratio}  found {found}, missed {sum(expected) - found}, false {false}")


# --- accuracy, in the host's environment -------------------------------------------


def attributes(data: Path) -> None:
    """Gender against what a person sees; ages read from adults, who must never be taken for children.

    No true ages are known (the people are synthetic), but nobody in these pictures is a child, by eye. Group photos
    are left out.
    """
    import numpy as np

    from facechain.faces import engine
    from facechain.faces.attributes import age_and_gender
    from facechain.photos.captions import CHILD_BELOW

    files = [path for path in files_of(data) if path.name not in SEVERAL]
    pictures = [load(path) for path in files]
    meshes = [faces[0].mesh for faces in engine().analyze(pictures, embed=False)]
    men = np.array([path.as_posix().endswith(MEN) or "/man/" in path.as_posix() for path in files])
    print(
        f"\nage and gender of {len(files)} adults: lowest, tenth, middle and highest age read, and how many as children"
    )
    for name, change in CONDITIONS.items():
        read = [
            age_and_gender(change(picture, float(np.ptp(mesh[:, 0]))), mesh)
            for picture, mesh in zip(pictures, meshes, strict=True)
            if mesh is not None
        ]
        ages, right = np.array([age for age, _, _ in read]), np.array([who == "man" for _, who, _ in read]) == men
        for who, group in (("women", ~men), ("men", men)):
            low, tenth, middle, high = np.percentile(ages[group], [0, 10, 50, 100])
            children, told = int((ages[group] < CHILD_BELOW).sum()), f"{right[group].sum()} of {group.sum()}"
            print(f"  {name:18}{who:6} {low:5.1f} {tenth:5.1f} {middle:5.1f} {high:5.1f}  {children}  gender {told}")


def _softened(image: Any, width: float) -> Any:
    import numpy as np
    from PIL import Image, ImageFilter

    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(0.02 * width)))


def _smoothed(image: Any, width: float) -> Any:
    import numpy as np
    from PIL import Image, ImageFilter

    return np.asarray(Image.fromarray(image).filter(ImageFilter.MedianFilter(2 * round(0.015 * width) + 1)))


def _small(image: Any, width: float) -> Any:
    import numpy as np
    from PIL import Image

    picture, scale = Image.fromarray(image), 60 / width
    little = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BOX)
    return np.asarray(little.resize(picture.size, Image.Resampling.BICUBIC))


def _lit(power: float) -> Callable[[Any, float], Any]:
    def change(image: Any, width: float) -> Any:
        import numpy as np

        return (255 * (image / 255) ** power).round().astype(np.uint8)

    return change


# What photos suffer: (picture, width of the face) to the picture changed.
CONDITIONS: dict[str, Callable[[Any, float], Any]] = {
    "as they are": lambda image, width: image,
    "blurred by 2 %": _softened,
    "skin smoothed": _smoothed,
    "face of 60 px": _small,
    "too bright": _lit(0.5),
    "too dark": _lit(2.0),
}


def rotation(files: list[Path]) -> None:
    """These pictures, turned in steps of 15 degrees: all faces found, and the right way up."""
    started, wrong = time.process_time(), []
    for path in files:
        wrong += turned_wrongly(path)
    runs = len(files) * 360 // TURN
    spent = (time.process_time() - started) / runs * 1000
    print(f"\nrotation: {runs - len(wrong)} of {runs} right ({spent:.0f} ms CPU time each)", *wrong, sep="\n  ")


def turned_wrongly(path: Path) -> list[str]:
    """A line for each turn of the picture in which a face is lost, or the photo would not come to stand upright."""
    import numpy as np
    from PIL import Image

    from facechain.faces import engine
    from facechain.faces.orientation import analyze_any_orientation

    def lean(faces: list[Face]) -> float:
        return float(np.degrees(np.angle(sum(np.exp(1j * np.radians(face.roll)) for face in faces))))

    picture, wrong = Image.open(path).convert("RGB"), []
    still = engine().analyze([np.asarray(picture)], embed=False)[0]
    fill = tuple(int(v) for v in np.asarray(picture).reshape(-1, 3).mean(0))
    for angle in range(0, 360, TURN):
        turned = picture.rotate(-angle, Image.Resampling.BICUBIC, expand=True, fillcolor=fill)
        turns, faces = analyze_any_orientation(engine(), np.asarray(turned), embed=False)
        error = abs((lean(faces) + 90 * turns - angle - lean(still) + 180) % 360 - 180) if faces else 180.0
        if len(faces) != len(still) or error > 20:
            wrong.append(f"{path.name} at {angle}: {len(faces)} faces, {error:.0f} degrees off")
    return wrong


# --- the whole Preprocess -----------------------------------------------------------


FORGET_PEAK = Path("/proc/self/clear_refs")  # Linux


def memory(what: str) -> float:
    """MB of this process, now ("VmRSS") or at its peak ("VmHWM"); 0 where the system does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(what)), 0.0)


def compare_threads(command: list[str]) -> None:
    """The whole Preprocess with one thread and with two. The share of its work that is done in workers tells what a
    second core can bring at best, also where that core is taken by others.
    """
    taken = []
    for threads in ("1", "2"):  # the pack takes as many as OMP_NUM_THREADS allows
        surroundings = {**os.environ, "OMP_NUM_THREADS": threads}
        done = subprocess.run(command, check=True, env=surroundings, stdout=subprocess.PIPE, text=True)
        print("preprocess:", done.stdout.strip())
        taken.append(json.loads(done.stdout))
    share = taken[1]["share_in_workers"]
    print(
        f"  two threads: {taken[0]['seconds'] / taken[1]['seconds']:.2f} x as fast here, {2 / (2 - share):.2f} x at best"
    )


def preprocess(data: Path, count: int) -> None:
    """Time and growth of memory of take_in, for photos of 2048 pixels, as JSON. In a process of its own, for its peak.

    Memory is read by one meter: the peak of the resident set while take_in runs, above the resident set before it,
    when the photos were there and everything was loaded.
    """
    import numpy as np
    import torch
    from PIL import Image

    from facechain.faces import engine
    from facechain.images import from_pixels
    from facechain.photos.intake import IntakeOptions, take_in
    from facechain.photos.look import Photos
    from facechain.threads import cores

    torch.set_num_threads(1)
    kinds = [*sorted((data / "people/man").glob("pose*.png")), *sorted((data / "people/woman").glob("pose*.png"))][:4]
    take_in(Photos([from_pixels(load(kinds[0]))]), [], engine(), IntakeOptions())  # load everything first
    images = []
    for number in range(count):  # each a little different, so that none is the copy of another
        picture = Image.open(kinds[number % len(kinds)]).convert("RGB")
        turned = picture.rotate(number // len(kinds) * 2, Image.Resampling.BICUBIC)
        images.append(from_pixels(np.asarray(turned.resize((2048, 2048), Image.Resampling.LANCZOS))))
    photos = Photos(images)
    del picture, turned
    before = memory("VmRSS")
    if FORGET_PEAK.exists():
        FORGET_PEAK.write_text("5")
    started, cpu, own = time.perf_counter(), time.process_time(), time.thread_time()
    intake = take_in(photos, [], engine(), IntakeOptions())
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    own_seconds = time.thread_time() - own
    figures = {
        "photos": count,
        "threads": cores(),
        "accepted": intake.person.count,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "share_in_workers": round(1 - own_seconds / cpu_seconds, 2),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "peak_MB_above_the_photos": round(memory("VmHWM") - before) if before else None,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
