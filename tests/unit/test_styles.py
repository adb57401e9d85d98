"""Styles: the shipped ones, and what a broken one says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from facechain.errors import RecordError
from facechain.styles import FAMILIES, Style, load_style

# FaceChain's first public list: LoRA file (without suffix), style weight, person weight.
FIRST = {
    "chinese_winter_hanfu": ("Winter_Hanfu", 0.30, 0.95),
    "fairy": ("fairy", 0.25, 0.95),
    "school_uniform": ("jk_uniform", 0.20, 0.95),
    "traditional_chinese": ("MoXinV1", 0.30, 0.95),
    "wedding_dress": ("outdoor_photo_v2.0", 0.30, 0.95),
    "zhuang": ("zhuangnv", 0.75, 0.95),
    "hong_kong_night": ("InstantPhotoX3", 0.35, 0.95),
    "european_fields": ("edgEuropean_Vintage", 0.55, 0.95),
    "rainy_night": ("InstantPhotoX3", 0.45, 0.95),
    "jacket_in_snow_mountain": ("puffy_jacket-1.0", 0.60, 0.90),
    "model": ("InstantPhotoX3", 0.30, 0.95),
    "working_suit": (None, 0.35, 0.95),
    "motorcycle_race": ("InstantPhotoX3", 0.40, 0.95),
    "armor": (None, 0.35, 0.95),
    "wedding_dress_2": ("InstantPhotoX3", 0.40, 0.95),
    "t_shirt": (None, 0.35, 0.95),
    "polaroid": ("InstantPhotoX3", 0.40, 0.95),
    "hanfu": (None, 0.35, 0.95),
    "cybernetics_punk": (None, 0.35, 0.95),
    "gown": (None, 0.35, 0.95),
    "chinese_traditional_gorgeous_suit": ("xiapei", 0.35, 0.95),
}
MOONFILM = {
    "working_suit",
    "armor",
    "t_shirt",
    "hanfu",
    "cybernetics_punk",
    "gown",
    "chinese_traditional_gorgeous_suit",
}


@pytest.fixture(scope="module")
def files(root: Path) -> list[Path]:
    return sorted(path for path in (root / "styles").glob("*.json") if path.stem != "schema")


@pytest.fixture(scope="module")
def styles(files: list[Path]) -> dict[str, Style]:
    return {path.stem: load_style(path) for path in files}


@pytest.fixture(scope="module")
def schema(root: Path) -> dict[str, Any]:
    return json.loads((root / "styles" / "schema.json").read_text())


@pytest.fixture()
def write(tmp_path: Path) -> Callable[[Any], Path]:
    def to_file(content: Any) -> Path:
        path = tmp_path / "mine.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    return to_file


def test_the_first_list_has_its_files_and_weights(styles: dict[str, Style]) -> None:
    for name, (lora, style_weight, person_weight) in FIRST.items():
        style = styles[name]
        assert style.lora == (f"{lora}.safetensors" if lora else "")
        assert (style.style_weight, style.person_weight) == (style_weight, person_weight), name
        base = "leosamsMoonfilm_filmGrain20" if name in MOONFILM else "majicmixRealistic_v6"
        assert (style.family, style.checkpoint) == ("SD 1.5", f"{base}.safetensors"), name


def test_there_are_many_and_all_differ(styles: dict[str, Style]) -> None:
    assert len(styles) >= 60
    for what in ("name", "name_zh", "prompt"):
        values = [getattr(style, what) for style in styles.values()]
        assert all(values)
        assert len(set(values)) == len(values), f"two styles share a {what}"
    assert all(re.fullmatch("[a-z][a-z0-9_]*", name) for name in styles)
    assert any(style.family == "SDXL" for style in styles.values())


def test_every_style_dresses_everybody(styles: dict[str, Style]) -> None:
    for name, style in styles.items():
        for wearer in ("woman", "man", "girl", "boy"):
            assert style.outfit_for(wearer), f"{name} has no outfit for a {wearer}"


def test_children_are_dressed_modestly(styles: dict[str, Style]) -> None:
    immodest = re.compile(r"strap|off-shoulder|cleavage|gown|slip|wedding dress|makeup|camisole", re.IGNORECASE)
    for name, style in styles.items():
        for wearer in ("girl", "boy"):
            assert not immodest.search(style.outfit_for(wearer)), f"{name}: {style.outfit_for(wearer)}"


def test_a_child_never_gets_an_adults_outfit() -> None:
    style = Style(id="x", name="x", prompt="x", outfit={"woman": "evening gown", "man": "dinner jacket"})
    assert style.outfit_for("girl") == style.outfit_for("boy") == ""
    assert style.outfit_for("woman") == "evening gown"


def test_files_agree_with_the_schema(files: list[Path], schema: dict[str, Any]) -> None:
    for path in files:
        assert faults(json.loads(path.read_text()), schema, schema) == [], path.name
    for example in schema["examples"]:
        assert faults(example, schema, schema) == []


def test_the_schema_knows_every_key_and_family(schema: dict[str, Any]) -> None:
    keys = set(Style.__dataclass_fields__) - {"id", "family", "checkpoint"} | {"base", "$schema"}
    assert set(schema["properties"]) == keys
    assert tuple(schema["properties"]["base"]["properties"]["family"]["enum"]) == FAMILIES


def test_a_short_style_gets_defaults(write: Callable[[Any], Path]) -> None:
    style = load_style(write({"prompt": "lighthouse"}))
    assert (style.id, style.name, style.lora) == ("mine", "mine", "")
    assert (style.style_weight, style.person_weight, style.settings.width) == (0.35, 0.95, 512)


def test_windows_editors_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_bytes('\ufeff{"prompt": "晨雾"}\r\n'.encode())
    assert load_style(path).prompt == "晨雾"


BROKEN: list[tuple[Any, str]] = [
    ({"promt": "x"}, "unknown key 'promt'. Did you mean 'prompt'"),
    ({"prompt": "x", "settings": {"step": 3}}, "unknown key 'settings.step'. Did you mean 'steps'"),
    ({"prompt": "x", "outfit": {"dog": "collar"}}, "unknown key 'outfit.dog'"),
    ({"prompt": "x", "base": {"family": "SD1.5"}}, "base.family is 'SD1.5'"),
    ({"name": "x"}, "prompt is missing"),
    ({"prompt": " "}, "prompt is missing"),
    ({"prompt": 3}, "prompt must be text"),
    ({"prompt": "x", "style_weight": "0.3"}, "style_weight must be a number"),
    ({"prompt": "x", "style_weight": True}, "style_weight must be a number"),
    ({"prompt": "x", "person_weight": 7}, "person_weight is 7; it must lie between 0 and 2"),
    ({"prompt": "x", "settings": {"steps": 2.5}}, "settings.steps must be a whole number"),
    ({"prompt": "x", "settings": {"width": 0}}, "settings.width is 0"),
    ({"prompt": "x", "settings": []}, "settings must be an object"),
    ({"prompt": "x", "lora": "../../secret.safetensors"}, "lora is"),
    ({"prompt": "x", "lora": "C:\\look.safetensors"}, "lora is"),
    ({"prompt": "x", "lora": "look.ckpt"}, "lora is 'look.ckpt'"),
    ([], "the file must be an object"),
]
BROKEN_IN_WORDS: list[tuple[Any, str]] = [
    ({"prompt": "(<fcsks>:10), portrait"}, "prompt has the weight 10"),
    ({"prompt": "x", "negative": "(nsfw:-1)"}, "negative has the weight -1"),
    ({"prompt": "(red hair"}, "prompt has brackets that do not pair"),
    ({"prompt": "x", "outfit": {"man": ")("}}, "outfit.man has brackets"),
    ('{"prompt": "a", "prompt": "b"}', "stands there twice"),
    ('{"prompt": ', "not valid JSON"),
    ('{"prompt": "x", "style_weight": NaN}', "style_weight is nan"),
]


@pytest.mark.parametrize(("content", "said"), BROKEN + BROKEN_IN_WORDS)
def test_a_broken_style_names_file_and_key(content: Any, said: str, write: Callable[[Any], Path]) -> None:
    with pytest.raises(RecordError) as raised:
        load_style(write(content))
    assert "mine.json" in str(raised.value)
    assert said in str(raised.value)
    assert raised.value.remedy


@pytest.mark.parametrize("content", [content for content, _ in BROKEN])
def test_the_schema_refuses_what_the_reader_refuses(content: Any, schema: dict[str, Any]) -> None:
    assert faults(content, schema, schema)


def test_files_that_are_no_text_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "picture.json"
    path.write_bytes(b"\x89PNG\xff\xfe" * 10)
    with pytest.raises(RecordError, match=r"picture\.json"):
        load_style(path)
    path.write_bytes(b" " * 70_000)
    with pytest.raises(RecordError, match="larger than 64 KB"):
        load_style(path)
    path.write_text("[" * 60_000)
    with pytest.raises(RecordError, match="not valid JSON"):
        load_style(path)
    with pytest.raises(RecordError, match="cannot be read"):
        load_style(tmp_path / "absent.json")


def faults(value: Any, schema: dict[str, Any], whole: dict[str, Any], at: str = "") -> list[str]:
    """What is wrong by the schema: the keywords that styles/schema.json uses, as draft 2020-12 defines them."""
    if "$ref" in schema:
        target = whole["$defs"][schema["$ref"].rsplit("/", 1)[1]]
        schema = target | {key: item for key, item in schema.items() if key != "$ref"}
    kinds = {"object": dict, "string": str, "integer": int, "number": (int, float), "null": type(None)}
    wanted = schema.get("type", [])
    wanted = [wanted] if isinstance(wanted, str) else wanted
    if wanted and (isinstance(value, bool) or not any(isinstance(value, kinds[kind]) for kind in wanted)):
        return [f"{at}: not {wanted}"]
    found = []
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{at}: not one of {schema['enum']}")
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        found.append(f"{at}: not {schema['pattern']}")
    if isinstance(value, (int, float)) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        found.append(f"{at}: out of range")
    if isinstance(value, dict):
        found += [f"{at}: no {key}" for key in schema.get("required", []) if key not in value]
        known = schema.get("properties", {})
        if schema.get("additionalProperties") is False:
            found += [f"{at}: unknown {key}" for key in value if key not in known]
        for key in value:
            found += faults(value[key], known.get(key, {}), whole, f"{at}.{key}")
    return found
