"""FaceChain's two jobs, end to end, in a real ComfyUI: `python3 scripts/demo.py`.

1. Photos of a person become ranked style portraits (workflows/style_portrait.json).
2. Two people are put into a fixed template picture (workflows/group_photo.json).

Sets everything up, starts the server, queues both workflows through the HTTP API, and writes the
pictures and a contact sheet into demo_output/. Without --checkpoint a stand-in base model made on the
spot is used: it has never seen a picture and draws coloured noise, so the portraits are noise. The group
photo, whose template and face fusion are real, already looks like a result.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import comfy_host

if TYPE_CHECKING:
    from comfy_client import ComfyClient, Prompt, Result

OUTPUT = comfy_host.ROOT / "demo_output"
WORKFLOWS = comfy_host.ROOT / "workflows" / "api"
PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".heic"}
NOISE = "Note: the stand-in base model draws coloured noise; name a real one with --checkpoint for real portraits."

# Parts of the six-people photo (left, top, right, bottom): three people as the template,
# whose faces 1 and 3 are replaced, and a fourth person as the second person's photo.
TEMPLATE_PART = (0, 60, 700, 760)
SECOND_PERSON_PART = (640, 240, 960, 590)
TEMPLATE_FACES = "1, 3"


def main() -> None:
    arguments = _arguments()
    try:
        host = comfy_host.prepare()
        comfy_host.reenter(host)
        _run(host, arguments)
    except comfy_host.HostError as error:
        raise SystemExit(f"error: {error}") from None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, metavar="DIR", help="photos of the first person (default: a package's)")
    parser.add_argument("--photos2", type=Path, metavar="DIR", help="photos of the second person")
    parser.add_argument("--template", type=Path, metavar="FILE", help="picture with at least two faces")
    parser.add_argument(
        "--faces", default="", metavar="N,N", help="which faces of the template (default: left to right)"
    )
    parser.add_argument("--checkpoint", metavar="NAME", help="a Stable Diffusion 1.5 checkpoint of your ComfyUI")
    parser.add_argument("--style", metavar="NAME", help="style of the portraits (default: as in the workflow)")
    parser.add_argument("--preset", choices=("fast", "balanced", "best"), help="how long to train each person")
    return parser.parse_args()


def _run(host: comfy_host.ComfyHost, arguments: argparse.Namespace) -> None:
    from comfy_client import ComfyClient, JobError

    OUTPUT.mkdir(exist_ok=True)
    inputs = _inputs(arguments)
    checkpoint = arguments.checkpoint or _standin(host)
    print("Starting ComfyUI ...", flush=True)
    with comfy_host.Server(host) as server:
        client = ComfyClient(server.url)
        _check_checkpoint(client, checkpoint)
        uploads = {
            name: [client.upload(picture, f"demo_{name}") for picture in files] for name, files in inputs.items()
        }
        results: dict[str, Result] = {}
        try:
            for name in ("style_portrait", "group_photo"):
                prompt = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
                _fill_in(prompt, arguments, checkpoint, uploads)
                results[name] = _follow(client, name, prompt)
        except JobError as error:
            raise SystemExit(f"error: {error}\nComfyUI's log: {server.log}") from None
        pictures = {name: _save_pictures(client, name, result) for name, result in results.items()}
    sheet = _contact_sheet(inputs, pictures)
    print("\nPictures:")
    for path in [*(p for group in pictures.values() for p in group), sheet]:
        print(f"  {path}")
    if not arguments.checkpoint:
        print(NOISE)


# --- what goes in ----------------------------------------------------------------------


def _inputs(arguments: argparse.Namespace) -> dict[str, list[Path]]:
    """The pictures: {"person1": [...], "person2": [...], "template": [one]}."""
    chosen = {"person1": arguments.photos, "person2": arguments.photos2}
    found = {name: _pictures_in(folder) for name, folder in chosen.items() if folder}
    if arguments.template:
        if not arguments.template.is_file():
            raise comfy_host.HostError(f"--template {arguments.template}: no such file.")
        found["template"] = [arguments.template]
    return {name: found.get(name) or _package_picture(name) for name in ("person1", "person2", "template")}


def _pictures_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise comfy_host.HostError(f"{folder} is not a folder; name the folder that holds the photos.")
    pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
    if not pictures:
        raise comfy_host.HostError(f"{folder} holds no pictures ({', '.join(sorted(PICTURES))}).")
    return pictures


def _package_picture(name: str) -> list[Path]:
    from PIL import Image
    from sample_photos import fetch_photos

    photos = fetch_photos()
    if name == "person1":
        return [photos["astronaut"]]
    part = {"person2": SECOND_PERSON_PART, "template": TEMPLATE_PART}[name]
    path = OUTPUT / "inputs" / f"{name}.png"
    path.parent.mkdir(exist_ok=True)
    Image.open(photos["group"]).crop(part).save(path)
    return [path]


def _standin(host: comfy_host.ComfyHost) -> str:
    """Name of the stand-in checkpoint, made where the server finds it."""
    import standin

    path = host.models / "checkpoints" / standin.CHECKPOINT_NAME
    if not path.is_file():
        print("Making the stand-in base model ...", flush=True)
    return standin.make_checkpoint(path).name


def _check_checkpoint(client: ComfyClient, name: str) -> None:
    known = client.get("/object_info/CheckpointLoaderSimple")
    known = known["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0]
    if name not in known:
        where = f"{comfy_host.HOST / 'base/models/checkpoints'}, or set COMFYUI_PATH to your ComfyUI"
        raise SystemExit(f"error: no checkpoint {name!r}. Put it into {where}. Found: {', '.join(known) or 'none'}.")


def _fill_in(prompt: Prompt, arguments: argparse.Namespace, checkpoint: str, uploads: dict[str, list[str]]) -> None:
    """Put the user's choices into a workflow as shipped; with the stand-in, small and quick settings too."""
    people = iter((uploads["person1"], uploads["person2"]))
    names = iter(("person 1", "person 2"))
    quick = not arguments.checkpoint
    for node in prompt.values():
        kind, inputs = node["class_type"], node["inputs"]
        if kind == "CheckpointLoaderSimple":
            inputs["ckpt_name"] = checkpoint
        elif kind == "FaceChain_LoadPhotos":
            inputs |= {"folder": "(none)", "files": "\n".join(next(people))}
        elif kind == "FaceChain_Preprocess":
            inputs["name"] = next(names)
        elif kind == "LoadImage":
            inputs["image"] = uploads["template"][0]
        elif kind == "FaceChain_TrainPersonLoRA":
            inputs |= {"steps": 20, "resolution": 128} if quick else {}
            inputs |= {"preset": arguments.preset} if arguments.preset else {}
        elif kind == "FaceChain_LoadStyle" and arguments.style:
            inputs["style"] = arguments.style
        elif kind == "EmptyLatentImage" and quick:
            inputs |= {"width": 256, "height": 256}
        elif kind == "KSampler" and quick:
            inputs["steps"] = 8
        elif kind == "FaceChain_GroupPortrait":
            own_template = bool(arguments.template)
            inputs["faces"] = arguments.faces if own_template else TEMPLATE_FACES
            # noise under a fused face would show through at its edge: fuse the template's own pixels
            inputs |= {"denoise": 0.1, "steps": 8} if quick else {}


# --- what comes out ----------------------------------------------------------------------


def _follow(client: ComfyClient, name: str, prompt: Prompt) -> Result:
    """Run a workflow with a progress bar; print the time of each node afterwards."""
    from tqdm import tqdm

    titles = {node_id: node.get("_meta", {}).get("title", node["class_type"]) for node_id, node in prompt.items()}
    bar = tqdm(
        total=len(prompt), desc=name, unit="node", bar_format="{desc:>15} {bar:30} {n_fmt:>2}/{total_fmt} {postfix}"
    )
    done: set[str] = set()

    def on_event(kind: str, data: dict) -> None:
        if kind == "execution_cached":
            done.update(data["nodes"])
        elif kind == "executed":
            done.add(data["node"])
        elif kind == "executing" and data["node"]:
            title = titles.get(data.get("display_node") or data["node"], data["node"])
            bar.set_postfix_str(title)
        elif kind == "progress":
            title = titles.get(data["node"], data["node"])
            bar.set_postfix_str(f"{title} {data['value']}/{data['max']}")
        bar.n = min(len(done), len(prompt))
        bar.refresh()

    result = client.run(prompt, on_event)
    bar.n = len(prompt)
    bar.set_postfix_str("done")
    bar.close()
    times = {titles.get(node, node): seconds for node, seconds in result.seconds.items()}
    for title, seconds in times.items():
        print(f"  {title:<32} {seconds:7.2f} s")
    return result


def _save_pictures(client: ComfyClient, name: str, result: Result) -> list[Path]:
    """Fetch what SaveImage nodes of a workflow wrote ("output", not previews)."""
    folder = OUTPUT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    references = [
        image for out in result.outputs.values() for image in out.get("images", []) if image["type"] == "output"
    ]
    paths = []
    for number, reference in enumerate(references, 1):
        path = folder / f"{number:02}{Path(reference['filename']).suffix}"
        path.write_bytes(client.fetch(reference))
        paths.append(path)
    return paths


def _contact_sheet(inputs: dict[str, list[Path]], pictures: dict[str, list[Path]]) -> Path:
    """Inputs, outputs and likeness on one picture, measured anew on the pictures as they were saved."""
    sys.path.append(str(comfy_host.ROOT))
    import demo_sheet

    path = OUTPUT / "contact_sheet.png"
    demo_sheet.draw(inputs, pictures, path)
    return path


if __name__ == "__main__":
    main()
