"""Prompts and CLIP's windows: CLIP reads 75 tokens at a time, and what is cut between two windows is understood less well.

A piece of a prompt (what stands between two commas) that would be cut is put into brackets of weight 1.
They change no weight, but ComfyUI's tokenizer moves a short group of words to the next window as a whole.
The text stays the whole truth: core's CLIP Text Encode makes the same of it.
"""

from __future__ import annotations

from collections.abc import Callable

from .pieces import piece_spans

WINDOW = 75  # tokens; CLIP's 77 less the marks for begin and end
_SHORT = 8  # tokens from which on ComfyUI cuts a group of words

Tokens = Callable[[str], "list[int]"]  # of a text, in each window


def keep_whole(text: str, tokens: Tokens) -> tuple[str, list[str]]:
    """The prompt with its short pieces kept whole, and the pieces that are cut all the same.

    tokens: counts by the text encoder. A prompt of one window comes back as it is.
    """
    if len(tokens(text)) == 1:
        return text, []
    kept, done, cut = "", 0, []
    for start, end in piece_spans(text):
        before, piece = kept + text[done:start], text[start:end]
        kept, done = before + piece, end
        if not _crosses(tokens(before), tokens(kept)):
            continue
        if "(" in piece.replace(r"\(", "") or sum(tokens(piece)) >= _SHORT:
            cut.append(piece)
        else:
            kept = f"{before}({piece}:1)"
    return kept + text[done:], cut


def describe(counts: list[int]) -> str:
    """For people: "98 tokens in 2 windows of 75 (71 + 27)"."""
    if len(counts) > 1:
        return f"{sum(counts)} tokens in {len(counts)} windows of {WINDOW} ({' + '.join(map(str, counts))})"
    return f"{counts[0]} tokens in 1 window" + (f" of {WINDOW}" if counts[0] <= WINDOW else "")


def _crosses(before: list[int], after: list[int]) -> bool:
    """What came behind `before` stands in its last window and in the next."""
    last = len(before) - 1
    return len(after) > len(before) and after[last] > before[last]
