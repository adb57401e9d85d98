"""FaceChain's two jobs, end to end, in a real ComfyUI: `python3 scripts/demo.py`.

1. Photos of a person become ranked style portraits (workflows/style_portrait.json).
2. Two people are put into a fixed template picture (workflows/group_photo.json).

Sets everything up, starts the server, queues the workflows through the HTTP API, and writes the pictures and a
contact sheet into demo_output/. Without --checkpoint a small base model of the project's own is used.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import comfy_host
import demo_jobs

if TYPE_CHECKING:
    from comfy_client import ComfyClient, Prompt, Result

OUTPUT = comfy_host.ROOT / "demo_output"


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
    parser.add_argument("--styles", metavar="NAME,NAME", help="styles of the portraits (default: as in the workflow)")
    parser.add_argument("--preset", choices=("fast", "balanced", "best"), help="how long to train each person")
    return parser.parse_args()


def _run(host: comfy_host.ComfyHost, arguments: argparse.Namespace) -> None:
    from comfy_client import ComfyClient, JobError

    OUTPUT.mkdir(exist_ok=True)
    inputs = demo_jobs.inputs(OUTPUT / "inputs", arguments.photos, arguments.photos2, arguments.template)
    checkpoint, small = (arguments.checkpoint, demo_jobs.USERS) if arguments.checkpoint else _small_model(host)
    choices = demo_jobs.Choices(
        checkpoint=checkpoint,
        settings=small.settings,
        training=small.training,
        faces=arguments.faces if arguments.template else demo_jobs.TEMPLATE_FACES,
        preset=arguments.preset,
    )
    styles = arguments.styles.split(",") if arguments.styles else small.styles
    print("Starting ComfyUI ...", flush=True)
    with comfy_host.Server(host) as server:
        client = ComfyClient(server.url)
        _check_checkpoint(client, choices.checkpoint)
        uploads = {
            name: [client.upload(picture, f"demo_{name}") for picture in files] for name, files in inputs.items()
        }
        jobs = {f"style_portrait/{style or 'as_shipped'}": replace(choices, style=style) for style in styles}
        jobs["group_photo"] = choices
        shutil.rmtree(OUTPUT / "style_portrait", ignore_errors=True)
        pictures: dict[str, list[Path]] = {}
        try:
            for name, chosen in jobs.items():
                prompt = demo_jobs.workflow(name.split("/")[0], chosen, uploads)
                pictures[name] = _save_pictures(client, name, _follow(client, name.split("/")[-1], prompt))
        except JobError as error:
            raise SystemExit(f"error: {error}\nComfyUI's log: {server.log}") from None
    sheet = _contact_sheet(inputs, pictures)
    print("\nPictures:")
    for path in [*(p for group in pictures.values() for p in group), sheet]:
        print(f"  {path}")
    if small.note:
        print(f"Note: {small.note}; name a real model with --checkpoint.")


def _small_model(host: comfy_host.ComfyHost) -> tuple[str, demo_jobs.Small]:
    """Name of a small base model's checkpoint, put where the server finds it, and how to use it."""
    from demo_model.checkpoint import CHECKPOINT_NAME, SHIPPED, assemble

    folder = host.models / "checkpoints"
    if SHIPPED.is_file():
        if not (folder / CHECKPOINT_NAME).is_file():
            print("Putting the demo model together ...", flush=True)
        return assemble(SHIPPED, folder / CHECKPOINT_NAME).name, demo_jobs.DEMO
    import standin

    if not (folder / standin.CHECKPOINT_NAME).is_file():
        print("Making the stand-in base model ...", flush=True)
    return standin.make_checkpoint(folder / standin.CHECKPOINT_NAME).name, demo_jobs.STANDIN


def _check_checkpoint(client: ComfyClient, name: str) -> None:
    known = client.get("/object_info/CheckpointLoaderSimple")
    known = known["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0]
    if name not in known:
        where = f"{comfy_host.HOST / 'base/models/checkpoints'}, or set COMFYUI_PATH to your ComfyUI"
        raise SystemExit(f"error: no checkpoint {name!r}. Put it into {where}. Found: {', '.join(known) or 'none'}.")


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
            title = _title(titles, data["node"])
            bar.set_postfix_str(title)
        elif kind == "progress":
            title = _title(titles, data["node"])
            bar.set_postfix_str(f"{title} {data['value']}/{data['max']}")
        bar.n = min(len(done), len(prompt))
        bar.refresh()

    result = client.run(prompt, on_event)
    bar.n = len(prompt)
    bar.set_postfix_str("done")
    bar.close()
    for node, seconds in result.seconds.items():
        print(f"  {_title(titles, node):<40} {seconds:7.2f} s")
    return result


def _title(titles: dict[str, str], node: str) -> str:
    """The title of a node, or of the node it is part of and its name therein: "Group Portrait: person1 fuse"."""
    if node in titles:
        return titles[node]
    outer, _, inner = node.partition(".")
    return f"{titles.get(outer, outer)}: {inner.split('.')[-1].replace('_', ' ')}"


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
