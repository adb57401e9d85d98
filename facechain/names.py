"""Names from users: people, styles, folders. A name is never used as a path before it passed here."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from .errors import UnusableNameError

MAX_LENGTH = 80  # bytes of UTF-8: room for a hash and a suffix in the 255 bytes that file systems allow
_COMPONENT, _PATH = 255, 4000  # bytes that file systems allow for a name, and for a whole path (with room to spare)
_FORBIDDEN = r'[\x00-\x1f\x7f<>:"/\\|?*]'
# Device names that Windows reserves in every folder, with any extension.
_RESERVED = {"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10))}
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn")
_JOINERS = "\u200c\u200d"  # Persian and Indic names are spelt with them


def checked_name(name: str, what: str = "name") -> str:
    """The name in one canonical spelling (Unicode NFKC, trimmed), safe as one path component.

    what: how the message calls it, e.g. "person name".
    Raises UnusableNameError for an empty or over-long name, path separators, control or
    reserved characters, a leading or trailing dot, and Windows device names.
    """
    cleaned = unicodedata.normalize("NFKC", name).strip()
    reserved = cleaned.split(".")[0].strip().lower() in _RESERVED
    invisible = any(unicodedata.category(c) in _UNSEEN and c not in _JOINERS for c in cleaned)
    if (
        not cleaned
        or cleaned[0] == "."
        or cleaned[-1] == "."
        or reserved
        or invisible
        or re.search(_FORBIDDEN, cleaned)
    ):
        raise UnusableNameError(
            f"the {what} {name!r} cannot be used", "Use letters, digits, spaces, - and _, such as 'Anna' or '小明'"
        )
    if len(cleaned.encode()) > MAX_LENGTH:
        raise UnusableNameError(f"the {what} {name[:20]!r}... is too long", f"Use at most {MAX_LENGTH} bytes")
    return cleaned


def complaint(names: Iterable[str], what: str) -> str:
    """Why one of these names cannot be used, "" where all can: for what is checked before anything runs."""
    try:
        for name in names:
            checked_name(name, what)
    except UnusableNameError as error:
        return str(error)
    return ""


def inside(folder: Path, *parts: str) -> Path:
    """folder/parts, after links are followed; raises UnusableNameError if that lies outside folder."""
    shown = "/".join(parts)
    root = folder.resolve()
    try:
        path = root.joinpath(*parts).resolve()
    except (ValueError, OSError, RuntimeError) as error:  # a NUL, an endless name, links in a circle
        raise UnusableNameError(
            f"{shown[:80]!r} is not a file name", "Name a file or folder as it is listed"
        ) from error
    if any(len(os.fsencode(part)) > _COMPONENT for part in path.parts) or len(os.fsencode(path)) > _PATH:
        raise UnusableNameError(f"{shown[:40]!r}... is too long", "Name a file or folder as it is listed")
    if path != root and root not in path.parents:
        raise UnusableNameError(f"{shown!r} lies outside {root.name}", "Name a file or folder inside it")
    return path
