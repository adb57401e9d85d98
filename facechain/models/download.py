"""Downloading one file so that it survives drops and is never half there.

Bytes go into a hidden file beside the target (.<name>.part). A drop is mended by asking for the rest (Range, with
If-Range so that a file that changed meanwhile comes whole), and a later call goes on where an earlier one ended. Only
what has the expected length and sha256 is renamed to the target, and a target that is there is never touched.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..errors import ModelFileError
from .presence import sha256_of

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

ATTEMPTS = 6  # in a row without a single new byte; then the next address, or an error
PAUSE = 1.0  # seconds before the second attempt; doubled for each further one, up to a minute
SILENCE = 60.0  # seconds without a byte after which a connection counts as lost
_CHUNK = 256 * 1024
_FOR_GOOD = {400, 401, 403, 404, 405, 410, 451}  # asking again changes nothing


@dataclass(frozen=True)
class Wanted:
    """What is to be fetched, and where to.

    urls: the same file in several places. sha256: hex, "" where unknown: then the length, the hash that Hugging Face
    states for its files, and a safetensors file's own header are what can be compared. size: bytes, 0 where unknown.
    """

    urls: tuple[str, ...]
    target: Path
    sha256: str = ""
    size: int = 0


@dataclass(frozen=True)
class Fetched:
    """path: the finished file. sha256: what it has. verified: how it was compared, for people."""

    path: Path
    sha256: str
    verified: str


Tell = Callable[[int, int], None]  # (bytes there, bytes in all or 0)


def download(
    wanted: Wanted,
    tell: Tell = lambda done, total: None,
    say: Callable[[str], None] = lambda text: None,
    pause: float = PAUSE,
    silence: float = SILENCE,
) -> Fetched:
    """Fetch the file; returns when it is at its place, whole and compared.

    tell: how far it is. say: what went wrong and is tried again. pause, silence: seconds, see PAUSE and SILENCE.
    Raises ModelFileError: target there already, no address works, disk full, what arrived is damaged. What was
    fetched until then stays in the .part file unless it was found to be damaged.
    """
    from filelock import FileLock, Timeout

    target = wanted.target
    if target.exists():
        raise ModelFileError(f"{target} is there already", "It is never replaced: move it away, then download again")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Part(target)
    try:
        with FileLock(part.lock, timeout=0):
            fetched = asyncio.run(_from_any(wanted, part, tell, say, pause, silence))
        part.lock.unlink(missing_ok=True)
        return fetched
    except Timeout as error:
        raise ModelFileError(f"{target.name} is being downloaded already", "Wait for the other download") from error
    except OSError as error:
        raise ModelFileError(f"{target} cannot be written ({error})", "Make room, or see to its folder") from error


class Part:
    """The unfinished file, and notes on what it is a part of."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f".{target.name}.part")
        self.lock = target.with_name(f".{target.name}.lock")
        self._notes = target.with_name(f".{target.name}.part.json")

    def begin(self, url: str, sha256: str) -> tuple[int, dict[str, Any]]:
        """(bytes there, notes on them) where they are of the same file; of anything else, nothing is kept.

        The same file is one of the same published sha256, wherever it was fetched from, or of the same address.
        """
        notes: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            notes = json.loads(self._notes.read_text(encoding="utf-8"))
        same = notes.get("sha256") == sha256 if sha256 else notes.get("url") == url
        if not self.path.is_file() or not same:
            self.discard()
            return 0, {}
        return self.path.stat().st_size, notes if notes.get("url") == url else {}

    def note(self, **notes: Any) -> None:
        """url, sha256, validator, total of what is being written to the part file."""
        self._notes.write_text(json.dumps(notes), encoding="utf-8")

    def discard(self) -> None:
        for path in (self.path, self._notes):
            path.unlink(missing_ok=True)

    def finish(self, target: Path) -> None:
        """Rename to the target, unless one came there meanwhile. Raises ModelFileError."""
        with self.path.open("rb+") as stream:
            os.fsync(stream.fileno())
        if target.exists():
            raise ModelFileError(f"{target} came there meanwhile", "It was kept; the download lies beside it")
        self.path.rename(target)
        self._notes.unlink(missing_ok=True)


class _Refused(Exception):
    """This address will not give the file, however often it is asked."""


class _Dropped(Exception):
    """The connection was lost; the rest may still be had."""


async def _from_any(
    wanted: Wanted, part: Part, tell: Tell, say: Callable[[str], None], pause: float, silence: float
) -> Fetched:
    from aiohttp import ClientSession, ClientTimeout

    timeout = ClientTimeout(total=None, sock_connect=silence, sock_read=silence)
    headers = {"User-Agent": "facechain-studio", "Accept-Encoding": "identity"}  # lengths are those of the file
    reasons = []
    async with ClientSession(timeout=timeout, headers=headers, trust_env=True) as session:
        for url in wanted.urls:
            for last in (False, True):  # damaged on the way: once more from the start
                try:
                    stated = await _whole(session, url, wanted, part, tell, say, pause)
                    return _compared(wanted, part, stated)
                except _Refused as error:
                    reasons.append(f"{urlsplit(url).netloc}: {error}")
                    say(reasons[-1])
                    break
                except _Damaged as error:
                    part.discard()
                    if last:
                        reasons.append(f"{urlsplit(url).netloc}: {error}")
                    say(f"{error}; {'giving up' if last else 'fetching it anew'}")
    raise ModelFileError(
        f"{wanted.target.name} could not be downloaded ({'; '.join(reasons)})",
        f"Try again later, name a mirror, or download {wanted.urls[0]} in a browser into {wanted.target.parent}",
    )


class _Damaged(Exception):
    """What arrived is not what was published."""


async def _whole(
    session: ClientSession, url: str, wanted: Wanted, part: Part, tell: Tell, say: Callable[[str], None], pause: float
) -> str:
    """Ask until all bytes are in the part file; returns the sha256 that the server states, or ""."""
    import aiohttp

    attempt, most = 0, -1
    while True:
        have, notes = part.begin(url, wanted.sha256)
        attempt = attempt + 1 if have <= most else 1
        most = max(most, have)
        try:
            return await _ask(session, url, wanted, part, have, notes, tell)
        except (_Dropped, aiohttp.ClientError, asyncio.TimeoutError) as error:
            reason = f"connection lost ({str(error) or type(error).__name__})"
        if attempt >= ATTEMPTS:
            raise _Refused(f"{reason}, {ATTEMPTS} times in a row")
        wait = min(60.0, pause * 2 ** (attempt - 1))
        say(f"{wanted.target.name}: {reason}; trying again in {wait:.0f} s")
        await asyncio.sleep(wait)


async def _ask(
    session: ClientSession, url: str, wanted: Wanted, part: Part, have: int, notes: dict[str, Any], tell: Tell
) -> str:
    """One request: the file, or the rest of it, appended to the part file. Raises _Refused, _Dropped, ClientError."""
    validator = notes.get("validator")
    headers = {"Range": f"bytes={have}-", **({"If-Range": validator} if validator else {})} if have else {}
    async with session.get(url, headers=headers) as reply:
        stated = _stated_hash(reply)
        if reply.status == 416:  # no rest: all is there, or more than all
            if _total(reply) == have:
                return stated
            part.discard()
            raise _Dropped("the server has another file now")
        if reply.status in _FOR_GOOD:
            login = reply.status in (401, 403)
            raise _Refused(f"HTTP {reply.status}" + (", it asks for a login" if login else ""))
        if reply.status not in (200, 206):
            raise _Dropped(f"HTTP {reply.status}")
        if reply.content_type == "text/html":
            raise _Refused("it answers with a page instead of the file")
        start = _start(reply) if reply.status == 206 else 0  # 200: it does not do parts, or the file changed
        total = _total(reply)
        if start not in (0, have) or (start and total != notes.get("total", total)):
            part.discard()
            raise _Dropped("the server sent another part than was asked for, or has another file now")
        _check_length(wanted, total, start)
        part.note(url=url, sha256=wanted.sha256, validator=_validator(reply), total=total)
        with part.path.open("ab" if start else "wb") as stream:
            done = start
            async for block in reply.content.iter_chunked(_CHUNK):
                stream.write(block)
                done += len(block)
                tell(done, total)
        if total and done != total:
            raise _Dropped(f"{done:,} of {total:,} bytes")
        return stated


def _check_length(wanted: Wanted, total: int, start: int) -> None:
    """Raises _Refused for another file than was published, and OSError where it cannot fit on the disk."""
    if wanted.size and total and total != wanted.size:
        raise _Refused(f"the file there has {total:,} bytes, the published one {wanted.size:,}")
    room = shutil.disk_usage(wanted.target.parent).free
    if total - start > room:
        raise OSError(f"{(total - start) / 1e9:.1f} GB are missing, the disk has {room / 1e9:.1f} GB left")


def _compared(wanted: Wanted, part: Part, stated: str) -> Fetched:
    """The part file at its place, when it is what it should be. Raises _Damaged."""
    found = sha256_of(part.path)
    if wanted.sha256 and found != wanted.sha256:
        raise _Damaged(f"{wanted.target.name} is damaged: sha256 {found} instead of {wanted.sha256}")
    if not wanted.sha256 and stated and found != stated:
        raise _Damaged(f"{wanted.target.name} is damaged: sha256 {found}, the server states {stated}")
    if wanted.target.suffix == ".safetensors":
        _check_safetensors(part.path, wanted.target.name)
    part.finish(wanted.target)
    by = "published sha256" if wanted.sha256 else "sha256 that the server states" if stated else ""
    return Fetched(wanted.target, found, by or "not verified: nobody has published its sha256")


def _check_safetensors(path: Path, name: str) -> None:
    """Raises _Damaged where header and length do not fit together."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "numpy"):
            pass
    except SafetensorError as error:
        raise _Damaged(f"{name} is no whole safetensors file ({error})") from error


def _stated_hash(reply: ClientResponse) -> str:
    """Hugging Face states a large file's sha256 on the reply that redirects to its storage."""
    for answer in (*reply.history, reply):
        tag = answer.headers.get("X-Linked-Etag", "").strip('"').lower()
        if len(tag) == 64 and set(tag) <= set("0123456789abcdef"):
            return tag
    return ""


def _validator(reply: ClientResponse) -> str:
    """What If-Range may name: a strong ETag, else the date of the file."""
    tag = reply.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else reply.headers.get("Last-Modified", "")


def _start(reply: ClientResponse) -> int:
    """First byte of "bytes 100-199/200"; -1 where the header says nothing."""
    words = reply.headers.get("Content-Range", "").replace("bytes ", "").split("-")
    return int(words[0]) if words[0].isdigit() else -1


def _total(reply: ClientResponse) -> int:
    """Bytes of the whole file, as the reply says; 0 where it does not."""
    if reply.status == 200:
        return reply.content_length or 0
    last = reply.headers.get("Content-Range", "").rpartition("/")[2]
    return int(last) if last.isdigit() else 0
