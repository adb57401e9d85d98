"""Every word of the nodes in English as the schema has it, and in Chinese without a gap."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import comfy_host
import pytest
import update_locales

from facechain.messages import ENGLISH

VALUES = re.compile(r"\{(\w+)\}")
HAN = re.compile(r"[\u4e00-\u9fff]")
# names that Chinese users of ComfyUI write in Latin letters
LATIN_NAMES = {"CFG", "CLIP", "ControlNet", "Latent", "LoRA", "VAE"}
# lists that the machine fills, or core; and choices that are names or numbers
FILLED = {"folder", "name", "style", "sam_model", "depth_model", "sampler_name", "scheduler"}
NAMES = {"insightface", "inswapper", "DWPose", "AdamW", "AdamW 8-bit", "Prodigy", "float32", "bfloat16", "512", "1024"}


@pytest.fixture(scope="module")
def infos() -> dict[str, Any]:
    return update_locales.node_infos(comfy_host.prepare())


@pytest.fixture(scope="module")
def schema(infos: dict[str, Any]) -> dict[str, str]:
    return dict(update_locales.leaves({name: update_locales.words_of(info) for name, info in infos.items()}))


@pytest.fixture(scope="module")
def chinese() -> dict[str, str]:
    return dict(update_locales.leaves(update_locales.read("zh")))


def test_english_says_what_the_schema_says(schema: dict[str, str]) -> None:
    english = dict(update_locales.leaves(update_locales.read("en")))
    differing = {key for key in schema.keys() | english.keys() if schema.get(key) != english.get(key)}
    assert not differing, "run python3 scripts/update_locales.py"


def test_the_schema_gives_every_socket_a_name_and_a_tooltip(schema: dict[str, str]) -> None:
    named = {key.removesuffix(".name") for key in schema if key.endswith(".name")}
    explained = {key.removesuffix(".tooltip") for key in schema if key.endswith(".tooltip")}
    assert named == explained
    assert len(named) >= 150  # 105 inputs and 45 outputs at the first count


def test_chinese_has_exactly_the_keys_of_the_schema(schema: dict[str, str], chinese: dict[str, str]) -> None:
    assert chinese.keys() == schema.keys()


def test_every_chinese_text_is_chinese(chinese: dict[str, str]) -> None:
    foreign = {key: text for key, text in chinese.items() if not HAN.search(text) and text not in LATIN_NAMES}
    assert not foreign


def test_numbers_are_the_same_in_both_languages(schema: dict[str, str], chinese: dict[str, str]) -> None:
    """So an edited default or limit is not forgotten in Chinese."""
    differing = {
        key: (numbers(schema[key]), numbers(text))
        for key, text in chinese.items()
        if key in schema and not key.endswith(".name") and numbers(schema[key]) != numbers(text)
    }
    assert not differing


def test_choices_that_a_tooltip_quotes_stand_in_both_languages(schema: dict[str, str], chinese: dict[str, str]) -> None:
    for key, text in schema.items():
        for choice in re.findall(r"'([a-z][a-z -]*)'", text) if key.endswith(".tooltip") else []:
            if f"{key.rsplit('.', 2)[0]}.{choice}.name" in schema:
                choice = chinese[f"{key.rsplit('.', 2)[0]}.{choice}.name"]  # another input: by its Chinese name
            assert choice in chinese[key], key


def test_no_text_holds_syntax_of_the_front_ends_messages(schema: dict[str, str], chinese: dict[str, str]) -> None:
    quoted = re.compile(r"\{'[{}@|]'\}")
    for key, text in [*schema.items(), *chinese.items()]:
        assert not re.search(r"[{}@|]", quoted.sub("", text)), key


def test_special_characters_are_quoted() -> None:
    assert update_locales.as_message("a|b {c} d@e") == "a{'|'}b {'{'}c{'}'} d{'@'}e"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_menu_category_is_named(root: Path, language: str) -> None:
    main = json.loads((root / "locales" / language / "main.json").read_text(encoding="utf-8"))
    assert main["nodeCategories"]["FaceChain"].startswith("FaceChain")


def test_what_is_said_of_photos_can_be_said_in_chinese(root: Path) -> None:
    """Every message of the catalogue, with the same values."""
    chinese = json.loads((root / "locales" / "zh" / "main.json").read_text(encoding="utf-8"))["facechain"]["messages"]
    assert chinese.keys() == ENGLISH.keys()
    for key, text in chinese.items():
        values = {name.replace("people", "count") for name in VALUES.findall(ENGLISH[key])}
        assert set(VALUES.findall(text)) == values and HAN.search(text), key
        assert not re.search(r"[@|]", text), key  # the front end's own syntax


def test_every_choice_of_a_list_can_be_said_in_chinese(root: Path, infos: dict[str, Any]) -> None:
    chinese = json.loads((root / "locales" / "zh" / "main.json").read_text(encoding="utf-8"))["facechain"]["choices"]
    choices: set[str] = set()
    for info in infos.values():
        sockets = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
        for name, (kind, options) in sockets.items():
            if name not in FILLED and (kind == "COMBO" or isinstance(kind, list)):
                choices |= set(options["options"] if kind == "COMBO" else kind)
    assert chinese.keys() == choices - NAMES
    assert all(HAN.search(text) and not re.search(r"[{}@|]", text) for text in chinese.values())


def numbers(text: str) -> list[str]:
    """The numbers in a text that are not part of a name ("SD 1.5" counts, "person_1" and "SD3" do not)."""
    found = re.findall(r"(?<![A-Za-z_\d.])-?\d+(?:\.\d+)?(?:e-?\d+)?", text)
    return sorted(number for number in found if number != "1")  # Chinese says "第一", "从 1 数起" more freely
