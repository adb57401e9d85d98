"""Prompts that reach over CLIP's windows: what ComfyUI's own tokenizer makes of them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from facechain.pieces import piece_spans, pieces
from facechain.windows import WINDOW, describe, keep_whole

WORDS = "bright sun, blue sea, old harbour, white boats, red roofs, tall palms, soft wind, warm light, long shadows"


@pytest.fixture(scope="module")
def tokenizer(root: Path) -> Iterator[Any]:
    """ComfyUI's own, from the ComfyUI that the host has."""
    folder = root / ".host" / "ComfyUI-0.3.75"
    if not folder.is_dir():
        pytest.skip(f"ComfyUI is absent ({folder}); scripts/comfy_host.py setup unpacks it")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setattr(sys, "argv", ["main.py", "--cpu"])  # ComfyUI reads its options when it is imported
        options = importlib.import_module("comfy.options")
        options.enable_args_parsing()
        yield importlib.import_module("comfy.sd1_clip").SD1Tokenizer()


@pytest.fixture(scope="module")
def windows(tokenizer: Any) -> Callable[[str], list[list[tuple[int, float, int]]]]:
    """The words' tokens (token, weight, group) in each window."""

    def split(text: str) -> list[list[tuple[int, float, int]]]:
        return [[t for t in row if t[2]] for row in tokenizer.tokenize_with_weights(text, return_word_ids=True)["l"]]

    return split


@pytest.fixture(scope="module")
def tokens(windows: Callable) -> Callable[[str], list[int]]:
    return lambda text: [len(row) for row in windows(text)]


def _numbered(count: int) -> str:
    return ", ".join(f"{word} number {n}" for n in range(count) for word in WORDS.split(", "))


def test_a_prompt_of_one_window_stays_as_it_is(tokens: Callable) -> None:
    assert keep_whole(WORDS + "  ", tokens) == (WORDS + "  ", [])
    assert describe(tokens(WORDS)) == f"{tokens(WORDS)[0]} tokens in 1 window of 75"


@pytest.mark.parametrize("first", ["", "a ", "a very ", "one more than that, ", "(a sunny day:1.3), "])
def test_no_short_piece_is_cut(first: str, tokens: Callable, windows: Callable, tokenizer: Any) -> None:
    text = first + _numbered(4)
    assert len(tokens(text)) > 2
    whole, cut = keep_whole(text, tokens)
    assert cut == []
    for window in windows(whole):
        assert len(window) <= WINDOW
    read = [" ".join(word for _, word in tokenizer.clip_l.untokenize([t[:2] for t in row])) for row in windows(whole)]
    seen = [" ".join(row.replace("</w>", " ").split()) for row in read]
    for piece in pieces(text):
        bare = " ".join(piece.strip("()").split(":")[0].split())
        assert any(bare in row.replace(" ,", ",") for row in seen), piece


def test_without_it_pieces_are_cut(tokens: Callable, windows: Callable, tokenizer: Any) -> None:
    """What the brackets are for: plain text breaks off after 75 tokens."""
    text = "a very " + _numbered(3)
    assert tokens(text)[0] == WINDOW
    whole, _ = keep_whole(text, tokens)
    assert whole != text and tokens(whole)[0] < WINDOW
    assert whole.replace("(", "").replace(":1)", "") == text
    assert {t[1] for row in windows(whole) for t in row} == {1.0}, "no weight changes"


def test_a_long_piece_is_told(tokens: Callable) -> None:
    long = "dancing on a table in front of a cheering crowd"
    filler = ", ".join(["sun"] * ((WINDOW - 4) // 2))
    whole, cut = keep_whole(f"{filler}, {long}, end", tokens)
    assert cut == [long] and whole.endswith("end")
    assert describe([75, 3]) == "78 tokens in 2 windows of 75 (75 + 3)"
    assert describe([300]) == "300 tokens in 1 window", "an encoder without CLIP's windows"


def test_spans_are_the_pieces() -> None:
    text = " a, (b, c:1.2) ,\n d\\(x, ,e "
    assert [text[start:end] for start, end in piece_spans(text)] == pieces(text) == ["a", "(b, c:1.2)", "d\\(x", "e"]
