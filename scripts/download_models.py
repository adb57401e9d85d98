"""Lists and downloads the model files of models/catalog.json into ComfyUI's models folder.

    python scripts/download_models.py                    what is there, what is missing, how to get it
    python scripts/download_models.py base pose          groups of files
    python scripts/download_models.py armor cheongsam    styles: their LoRA and the base they were made on
    python scripts/download_models.py --check            compare the sha256 of all that is there

Run it with ComfyUI's Python. A download that was cut off goes on where it ended; a file is put in its place only when
it is whole and its sha256 is the published one; a file that is there is never replaced or deleted. Pickles are not
fetched. Mirrors: --hf-mirror, or the variable HF_ENDPOINT; --modelscope-mirror; --first modelscope.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

PACK = Path(__file__).resolve().parents[1]
if str(PACK) not in sys.path:  # a program of its own, outside ComfyUI's process
    sys.path.insert(0, str(PACK))

from facechain.errors import FaceChainError  # noqa: E402
from facechain.models import presence  # noqa: E402
from facechain.models.catalog import ModelFile, catalog, chosen  # noqa: E402
from facechain.models.download import Wanted, download  # noqa: E402
from facechain.names import inside  # noqa: E402

HUGGING_FACE, MODELSCOPE = "huggingface.co", "www.modelscope.cn"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    try:
        models = models_folder(options.models)
        if not options.names or options.check:
            return show(chosen(options.names or ["all"], catalog(options.catalog)), models, options.check)
        files = chosen(options.names, catalog(options.catalog))
        mirrors = {HUGGING_FACE: options.hf_mirror, MODELSCOPE: options.modelscope_mirror}
        return fetch_all(files, models, mirrors, options.first)
    except FaceChainError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="groups, styles or files; 'all' for everything")
    parser.add_argument("--models", type=Path, help="ComfyUI's models folder; found by itself inside custom_nodes")
    parser.add_argument("--check", action="store_true", help="download nothing; read what is there and compare sha256")
    parser.add_argument("--hf-mirror", default=os.environ.get("HF_ENDPOINT", ""), help="instead of huggingface.co")
    parser.add_argument("--modelscope-mirror", default="", help="instead of www.modelscope.cn")
    parser.add_argument(
        "--first", choices=("huggingface", "modelscope"), help="the site to ask first, where both have it"
    )
    parser.add_argument("--catalog", type=Path, default=PACK / "models" / "catalog.json", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def models_folder(named: Path | None) -> Path:
    """The named folder, that of COMFYUI_PATH, or that of the ComfyUI whose custom_nodes this lies in."""
    own = os.environ.get("COMFYUI_PATH")
    if named is None and own:
        named = Path(own).expanduser() / "models"
    # not resolved: a pack that is linked into custom_nodes belongs to that ComfyUI
    here = Path(os.path.abspath(__file__)).parents[1]  # noqa: PTH100 - Path.absolute keeps ..
    if named is None and here.parent.name == "custom_nodes":
        named = here.parents[1] / "models"
    if named is None:
        raise FaceChainError("ComfyUI's models folder is not known", "Name it: --models path/to/ComfyUI/models")
    if not named.is_dir():
        raise FaceChainError(f"there is no folder {named}", "Name ComfyUI's models folder with --models")
    return named


def show(files: Sequence[ModelFile], models: Path, read: bool) -> int:
    """Print what is there; 1 where something differs from what was published."""
    folders = presence.folders_in(models)
    found = [presence.look(file, folders(file), read) for file in files]
    for group in dict.fromkeys(file.group for file in files):
        mine = [f for f in found if f.file.group == group]
        missing = [f for f in mine if f.state == presence.MISSING]
        print(f"\n{group}: {len(mine) - len(missing)} of {len(mine)} there{about([f.file for f in missing])}")
        for one in mine:
            print(f"  {one.state:<20} {one.file.folder}/{one.file.file}{note(one)}")
            print(f"  {'':<20} {one.file.what}. Licence: {one.file.licence}")
    print(f"\nTo download: {sys.executable} {Path(__file__).resolve()} GROUP, STYLE or FILE ...")
    return int(any(f.state == presence.DIFFERENT for f in found))


def note(one: presence.Found) -> str:
    if one.why:
        return f" ({one.why})"
    if one.path is None and one.file.by_hand:
        return f" ({one.file.by_hand})"
    return "" if one.file.sha256 else " (cannot be verified: nobody has published its sha256)"


def about(files: Sequence[ModelFile]) -> str:
    """ ", about 1.2 GB missing" for people."""
    if not files:
        return ""
    total = sum(file.about_mb for file in files)
    unknown = sum(not file.about_mb for file in files)
    sizes = [f"about {total / 1000:.1f} GB"] * bool(total) + [f"{unknown} of unknown size"] * bool(unknown)
    return f", missing: {' and '.join(sizes)}"


def fetch_all(files: Sequence[ModelFile], models: Path, mirrors: dict[str, str], first: str | None) -> int:
    """Download what is missing; one that fails does not keep the others. 1 where one failed."""
    folders = presence.folders_in(models)
    failed = 0
    for file in files:
        one = presence.look(file, folders(file), read=True)
        if one.state != presence.MISSING:
            print(f"{file.file}: {one.state}{f' ({one.why}); it was kept' if one.why else ''}")
            failed += one.state == presence.DIFFERENT
        elif file.by_hand:
            print(f"{file.file}: {file.by_hand}\n  {file.urls[0]}\n  into {models / file.folder}")
        else:
            failed += not fetch(file, models, mirrors, first)
    return int(bool(failed))


def fetch(file: ModelFile, models: Path, mirrors: dict[str, str], first: str | None) -> bool:
    """Download one file with a progress bar; False, with the reason printed, where it failed."""
    from tqdm import tqdm

    print(f"{file.file}: {file.what}. Licence: {file.licence}")
    target = inside(models, *file.folder.split("/"), file.file)
    urls = tuple(mirrored(url, mirrors) for url in ordered(file.urls, first))
    with tqdm(desc=file.file, total=file.size or None, unit="B", unit_scale=True, unit_divisor=1000) as bar:

        def tell(done: int, total: int) -> None:
            bar.total = total or bar.total
            bar.update(done - bar.n)

        try:
            fetched = download(Wanted(urls, target, file.sha256, file.size), tell, tqdm.write)
        except FaceChainError as error:
            bar.leave = False
            tqdm.write(f"error: {error}", file=sys.stderr)
            return False
    print(f"{fetched.path}: whole ({fetched.verified}; sha256 {fetched.sha256})")
    return True


def ordered(urls: Sequence[str], first: str | None) -> list[str]:
    """The addresses of the site that is asked first come first; the others keep their order."""
    return sorted(urls, key=lambda url: not (first and first in urlsplit(url).netloc))


def mirrored(url: str, mirrors: dict[str, str]) -> str:
    """The address with scheme and host of the mirror for its host. mirrors: {host: "https://mirror" or ""}."""
    parts = urlsplit(url)
    mirror = mirrors.get(parts.netloc)
    if not mirror:
        return url
    base = urlsplit(mirror if "://" in mirror else f"https://{mirror}")
    return urlunsplit((base.scheme, base.netloc, base.path.rstrip("/") + parts.path, parts.query, ""))


if __name__ == "__main__":
    sys.exit(main())
