"""A prompt is made of pieces: what stands between two commas outside brackets."""

from __future__ import annotations

import re
from collections.abc import Iterable


def pieces(text: str) -> list[str]:
    """The comma-separated pieces of a prompt; commas inside brackets do not separate."""
    return [text[start:end] for start, end in piece_spans(text)]


def piece_spans(text: str) -> list[tuple[int, int]]:
    """Where each piece of a prompt begins and ends, without the spaces around it."""
    found, depth, start = [], 0, 0
    for position, character in enumerate(text):
        if character in "()" and text[position - 1 : position] != "\\":
            depth = max(0, depth + (1 if character == "(" else -1))
        elif character in ",\n" and depth == 0:
            found.append((start, position))
            start = position + 1
    trimmed = []
    for begin, end in [*found, (start, len(text))]:
        piece = text[begin:end]
        begin += len(piece) - len(piece.lstrip())
        trimmed.append((begin, begin + len(piece.strip())))
    return [(begin, end) for begin, end in trimmed if begin < end]


def bare(piece: str) -> tuple[str, ...]:
    """What a piece says, without weights, case and variants of spelling.

    Of "(Close_up, red:1.2)" these are "close up" and "red".
    """
    text = re.sub(r":\s*-?[0-9.]+\s*(?=\))", "", piece.lower())
    text = re.sub(r"[()\\]", "", text)
    return tuple(filter(None, (re.sub(r"[\s_-]+", " ", part).strip() for part in text.split(","))))


class Edits:
    """What a user changes in a finished prompt: pieces to leave out, and others to put in the place of some.

    text: pieces as the prompt shows them, with commas between; "red dress = blue dress" replaces one. Which of them
    were found is remembered over several prompts.
    """

    def __init__(self, text: str) -> None:
        self._new: dict[str, str] = {}  # what stands there afterwards, "" for nothing, by what a piece says
        self._asked: dict[str, str] = {}  # as the user wrote it
        self._met: set[str] = set()
        for piece in pieces(text):
            old, _, new = piece.partition("=")
            for part in bare(old):
                self._new[part], self._asked[part] = new.strip(), old.strip()

    def applied(self, prompt: Iterable[str]) -> list[str]:
        """The pieces of a prompt after the edits. A group of several goes when all it says is to go."""
        kept = []
        for piece in prompt:
            parts = set(bare(piece))
            self._met |= parts
            if not parts or not parts <= self._new.keys():
                kept.append(piece)
            else:
                kept += dict.fromkeys(self._new[part] for part in sorted(parts) if self._new[part])
        return kept

    def idle(self) -> list[str]:
        """A note on each edit that found nothing."""
        return [
            f"leave_out: {self._asked[part]!r} is no piece of the prompts"
            for part in self._new
            if part not in self._met
        ]
