"""Asks every place of the nodes where a name becomes a path for bad names; run by test_names_as_paths.py.

    python names_as_paths.py <folder of ComfyUI> <folder of the pack> <an empty folder>

Prints as JSON: {"answers": [[place, name, answer]], "written": [files that appeared outside the base folder]}.
An answer is "refused: <message>", "nothing", or "path: <path>". Anything else raised is "crashed: <error>".
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SECRET = "secret"


def evil_names(outside: Path) -> list[str]:
    """Names that people and programs have tried to leave folders with. outside: a folder with files called SECRET."""
    climbing = [
        "..",
        ".",
        "../secret",
        "../../secret",
        "../../../secret",
        "a/../../secret",
        "./../secret",
        "..//secret",
    ]
    windows = [
        "..\\secret",
        "C:secret",
        "C:\\secret",
        "\\\\host\\share\\x",
        "con",
        "NUL",
        "com1.txt",
        "aux.",
        "x:stream",
    ]
    absolute = [
        str(outside / SECRET),
        f"{outside}/{SECRET}.safetensors",
        "/etc/passwd",
        "//etc/passwd",
        "file:///etc/passwd",
    ]
    # full width, one dot leader, two dot leader, fraction slash, division slash, big solidus, ideographic full stop
    unicode = [
        "．．/secret",
        "．．／secret",
        "․․/secret",
        "‥/secret",
        "..⁄secret",
        "..∕secret",
        "..⧸secret",
        "。。/secret",
    ]
    unseen = ["a\0b", "secret\0.png", "\0", "a\nb", "\u202egnp.x", "a\u200bb", "\u2028", "\ud800", "\udcff"]
    shell = [
        "~",
        "~/secret",
        "$HOME/secret",
        "%2e%2e/secret",
        "*",
        "../*",
        "| id",
        "; id",
        "`id`",
        "$(id)",
        "{}",
        "%s%n",
    ]
    links = ["link", "link/secret", "linked", "linked.safetensors"]
    long = ["a" * 300, "a" * 5000, "明" * 2000, "/".join("a" * 200 for _ in range(50)), "../" * 2000 + "etc/passwd"]
    return ["", " ", *climbing, *windows, *absolute, *unicode, *unseen, *shell, *links, *long]


def lay_out(base: Path, outside: Path) -> None:
    """Links that lead out of each folder, and secrets outside, as tempting as can be."""
    outside.mkdir(parents=True)
    for suffix in ("", ".safetensors", ".json", ".png", ".txt"):
        (outside / f"{SECRET}{suffix}").write_text(SECRET)
    folders = [
        "models/facechain/people",
        "models/facechain/styles",
        "models/facechain/depth",
        "models/facechain/unfinished",
    ]
    for folder in (*folders, "models/loras/facechain", "models/sams", "input", "output", "temp"):
        (base / folder).mkdir(parents=True, exist_ok=True)
        for parent in ((base / folder).parent, (base / folder).parent.parent):
            for suffix in (".safetensors", ".json", ".png"):
                (parent / f"{SECRET}{suffix}").write_text(SECRET)
        (base / folder / "link").symlink_to(outside)
        (base / folder / "linked.safetensors").symlink_to(outside / f"{SECRET}.safetensors")
        (base / folder / "linked.png").symlink_to(outside / f"{SECRET}.png")


def places(nodes: Any) -> dict[str, Callable[[str], object]]:
    """By what it is: a function that does with a name what a node or route does with it first."""
    host, styles, poses, saving, photos = (
        importlib.import_module(f"{nodes.__name__}.{name}")
        for name in ("_host", "_styles", "_poses", "_saving", "photos")
    )
    training, deleting, preview = (
        importlib.import_module(f"{nodes.__name__}.{name}") for name in ("training", "deleting", "_preview")
    )

    def refused_as_text(answer: object) -> object:
        return f"refused: {answer}" if isinstance(answer, str) and answer else None

    return {
        "a person's file": host.person_file,
        "Load Person": lambda name: training.LoadPerson.execute(name, 1.0),
        "Load Person's check": lambda name: refused_as_text(training.LoadPerson.validate_inputs(name)),
        "Preprocess's check": lambda name: refused_as_text(photos.Preprocess.validate_inputs([name])),
        "Delete Person": lambda name: deleting.DeletePerson.execute(name, name),
        "a style's file": styles.style_file,
        "an own style's file": styles.own_style_file,
        "a depth model": poses.depth_folder,
        "a SAM model": host.load_sam,
        "a person's LoRA": lambda name: host.find_model("loras", name),
        "a person's LoRA, applied": lambda name: host.apply_person_lora(None, None, name, 1.0),
        "a style's LoRA": lambda name: host.find_lora(name),
        "photos of a folder": lambda name: photos._photos(name, "")[0][1] if name.strip() else None,
        "photos by name": lambda name: photos._photos("(none)", name)[0][1],
        "where pictures are saved": saving.checked_prefix,
        "the prompts of a style": lambda name: preview.preview({"style": name}) and None,
        "the prompts of a person": lambda name: preview.preview({"style": "armor", "person": {"name": name}}) and None,
        "the prompts of a blend": lambda name: preview.preview({"style": "armor", "blend": f"{name} 0.5"}) and None,
    }


def answers(asked: dict[str, Callable[[str], object]], names: list[str], error: type[Exception]) -> Iterator[list[str]]:
    for place, ask in asked.items():
        for name in names:
            try:
                found = ask(name)
                text = str(found) if isinstance(found, str) and found.startswith("refused") else f"path: {found}"
                answer = "nothing" if found is None else text
            except error as problem:
                answer = f"refused: {problem}"
            except Exception as problem:  # noqa: BLE001 - what it is is the test's to judge
                answer = f"crashed: {problem!r}"
            yield [place, name, answer]


def files_in(folder: Path) -> set[str]:
    return {str(Path(place) / name) for place, _, names in os.walk(folder) for name in names}


def main() -> None:
    comfy, pack, folder = sys.argv[1:]
    base, outside = Path(folder) / "a" / "b" / "base", Path(folder) / "outside"
    base.mkdir(parents=True)
    lay_out(base, outside)
    sys.path.insert(0, comfy)
    sys.argv = ["main.py", "--cpu", "--base-directory", str(base)]
    import comfy.options

    comfy.options.enable_args_parsing()
    spec = importlib.util.spec_from_file_location("pack", f"{pack}/__init__.py", submodule_search_locations=[pack])
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["pack"] = module
    spec.loader.exec_module(module)
    asyncio.run(asyncio.run(module.comfy_entrypoint()).get_node_list())
    before = files_in(Path(folder))
    errors = importlib.import_module("pack.facechain.errors")
    found = list(answers(places(sys.modules["pack.nodes"]), evil_names(outside), errors.FaceChainError))
    changed = sorted(files_in(Path(folder)) ^ before)
    print(json.dumps({"base": str(base), "outside": str(outside), "answers": found, "changed": changed}))


if __name__ == "__main__":
    main()
