"""The help pages: two languages for every node, true to the schema and to the code's messages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comfy_host
import pytest
import update_locales
from PIL import Image

from facechain.messages import ENGLISH

LANGUAGES = ("en", "zh")
INPUTS = {"en": "Inputs", "zh": "输入"}
OUTPUTS = {"en": "Outputs", "zh": "输出"}
ERRORS = {"en": "Errors and cures", "zh": "常见报错与解决"}
PLACE = {"en": "**In the graph:**", "zh": "**在工作流中的位置：**"}
# what the text on an input begins with
OPTIONAL = {"en": "*Optional.* ", "zh": "*可选。* "}
EMPTY = {"en": "*Default: empty.* ", "zh": "*默认为空。* "}
ON = {"en": "*Default: on.* ", "zh": "*默认开启。* "}
VALUE = {"en": "*Default: `{}`.* ", "zh": "*默认 `{}`。* "}
NODES = [
    f"FaceChain_{name}"
    for name in (
        *("LoadPhotos", "Preprocess", "TrainPersonLoRA", "LoadPerson", "LoadStyle", "PoseControl"),
        *("FaceFusion", "SimilarityRank", "TemplateFace", "TemplatePaste", "GroupPortrait"),
        "TrainingOptions",
        *("SystemCheck", "TrainStyleLoRA", "SavePortraits", "DeletePerson"),
    )
]
each_page = pytest.mark.parametrize(("node", "language"), [(n, lang) for n in NODES for lang in LANGUAGES])


@pytest.fixture(scope="module")
def infos() -> dict[str, dict[str, Any]]:
    return update_locales.node_infos(comfy_host.prepare())


@pytest.fixture(scope="module")
def messages(root: Path) -> list[str]:
    """All texts in the code, with … for what is filled in when it runs."""
    files = [path for folder in ("facechain", "nodes") for path in (root / folder).rglob("*.py")]
    texts = [text for path in files for text in texts_in(ast.parse(path.read_text(encoding="utf-8")))]
    return [*texts, *(re.sub(r"\{\w+\}", "…", text) for text in ENGLISH.values())]


def test_every_node_of_the_pack_is_covered(infos: dict[str, Any], root: Path) -> None:
    assert set(infos) == set(NODES)
    assert {path.name for path in (root / "web/docs").iterdir() if path.is_dir()} == set(NODES)


@each_page
def test_a_page_begins_with_the_nodes_name_and_says_where_it_belongs(root: Path, node: str, language: str) -> None:
    text = page(root, node, language)
    assert text.splitlines()[0] == f"# {update_locales.read(language)[node]['display_name']}"
    assert PLACE[language] in text


@each_page
def test_every_input_has_its_row_in_the_schemas_order(
    infos: dict[str, Any], root: Path, node: str, language: str
) -> None:
    words = update_locales.read(language)[node]["inputs"]
    rows = table(page(root, node, language), INPUTS[language])
    assert ids_of(rows) == list(inputs_of(infos[node]))
    if language == "zh":
        missing = [
            i for cell, *_ in rows for i in re.findall(r"`(\w+)`", cell) if last_name(words[i]["name"]) not in cell
        ]
        assert not missing, "the Chinese name as locales/zh has it"


@each_page
def test_defaults_are_the_schemas(infos: dict[str, Any], root: Path, node: str, language: str) -> None:
    inputs = inputs_of(infos[node])
    for cell, text in table(page(root, node, language), INPUTS[language]):
        for name in re.findall(r"`(\w+)`", cell):
            beginning = default_of(*inputs[name], language)
            fits = text.startswith(beginning) if beginning else not text.startswith("*")
            assert fits, f"{name} must begin with {beginning!r}"


@each_page
def test_every_output_has_its_row_in_the_schemas_order(
    infos: dict[str, Any], root: Path, node: str, language: str
) -> None:
    rows = table(page(root, node, language), OUTPUTS[language])
    assert ids_of(rows) == infos[node]["output_name"]
    if language == "zh":
        words = update_locales.read("zh")[node]["outputs"]
        for index, (cell, *_) in enumerate(rows):
            assert words[str(index)]["name"] in cell


@each_page
def test_every_choice_of_a_short_list_is_explained(infos: dict[str, Any], root: Path, node: str, language: str) -> None:
    inputs = inputs_of(infos[node])
    for cell, text in table(page(root, node, language), INPUTS[language]):
        name = re.findall(r"`(\w+)`", cell)[0]
        choices = choices_of(inputs[name][0])
        if name in ("folder", "style", "name") or len(choices) > 5:
            continue  # lists of the moment, and of core's samplers
        assert [choice for choice in choices if f"`{choice}`" not in text] == [], name


@each_page
def test_quoted_messages_exist_in_the_code(messages: list[str], root: Path, node: str, language: str) -> None:
    errors = errors_of(page(root, node, language), language)
    assert errors, "no common error"
    for quoted, cure in errors:
        assert cure
        assert any(quoted.lower() in text.lower() for text in messages), f"no message says {quoted!r}"


@pytest.mark.parametrize("node", NODES)
def test_both_languages_quote_the_same_messages_and_choices(root: Path, node: str) -> None:
    english, chinese = (page(root, node, language) for language in LANGUAGES)
    assert [quoted for quoted, _ in errors_of(english, "en")] == [quoted for quoted, _ in errors_of(chinese, "zh")]
    han = re.findall(r"[\u4e00-\u9fff]", chinese)
    assert len(han) > 250, "a Chinese page is written in Chinese"
    assert not re.search(r"[\u4e00-\u9fff]", english)


@each_page
def test_tables_fit_the_narrow_panel(root: Path, node: str, language: str) -> None:
    """The help panel is 250 pixels wide at first, and the front end breaks no words."""
    for line in page(root, node, language).splitlines():
        if line.startswith("| "):
            assert not re.findall(r"[!-~]{19,}", line)


@each_page
def test_a_small_picture_shows_what_the_node_does(root: Path, node: str, language: str) -> None:
    """Made by scripts/draw_help_pictures.py; no Chinese words in an English page's picture and the other way round."""
    alternative, target = re.findall(
        r"!\[([^\]]+)\]\(([^)\s]+)\)", page(root, node, language).split(f"## {INPUTS[language]}")[0]
    )[0]
    assert len(alternative) > 4 and target in (f"{node}/example.webp", f"{node}/example_{language}.webp")
    with Image.open(root / "web/docs" / target) as picture:
        assert picture.format == "WEBP" and 200 <= picture.width <= 720
    assert (root / "web/docs" / target).stat().st_size < 80_000


@each_page
def test_pictures_and_links_lead_somewhere(root: Path, node: str, language: str) -> None:
    """The front end takes relative pictures from the docs folder itself; a relative link would leave ComfyUI."""
    text = page(root, node, language)
    for picture, target in re.findall(r"(!?)\[[^\]]*\]\(([^)\s]+)\)", text):
        if picture:
            assert (root / "web/docs" / target).is_file(), target
        else:
            assert target.startswith("https://"), target
    assert not re.search(r"<(?!fcsks>|name>|人物名>)\w", text), "HTML, or a word in angle brackets that would vanish"


# --- reading pages ---------------------------------------------------------------------


def page(root: Path, node: str, language: str) -> str:
    return (root / "web/docs" / node / f"{language}.md").read_text(encoding="utf-8")


def table(text: str, heading: str) -> list[list[str]]:
    """The cells of the table below a heading, without its first two lines."""
    rows = [line for line in section(text, heading) if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[2:]]


def errors_of(text: str, language: str) -> list[tuple[str, str]]:
    """(message, cure) of each line of the list of errors."""
    colon = {"en": ": ", "zh": "："}[language]
    found = []
    for line in section(text, ERRORS[language]):
        parts = re.fullmatch(rf"- `([^`]+)`{colon}(.+)", line)
        assert parts, line
        found.append((parts[1], parts[2]))
    return found


def section(text: str, heading: str) -> list[str]:
    """The lines below a heading, without empty ones."""
    _, found, rest = text.partition(f"\n## {heading}\n")
    assert found, f"no heading {heading!r}"
    return [line for line in rest.split("\n## ")[0].splitlines() if line]


def ids_of(rows: list[list[str]]) -> list[str]:
    return [name for cell, *_ in rows for name in re.findall(r"`(\w+)`", cell)]


def last_name(name: str) -> str:
    """People 2 to 10 share a row that names the first and the last of them."""
    return "人物 10" if re.fullmatch(r"人物 [2-9]", name) else name


# --- reading the schema and the code -----------------------------------------------------


def inputs_of(info: dict[str, Any]) -> dict[str, tuple[list[Any], bool]]:
    """{id: (its specification, whether it is optional)} in the schema's order."""
    return {
        name: (specification, kind == "optional")
        for kind in ("required", "optional")
        for name, specification in info["input"].get(kind, {}).items()
    }


def choices_of(specification: list[Any]) -> list[str]:
    kind, options = specification
    return kind if isinstance(kind, list) else options.get("options") or []


def default_of(specification: list[Any], optional: bool, language: str) -> str:
    """What the text on an input must begin with; "" where there is no default to tell."""
    kind, options = specification
    widget = choices_of(specification) or kind in ("INT", "FLOAT", "STRING", "BOOLEAN")
    if not widget or options.get("forceInput"):
        return OPTIONAL[language] if optional else ""
    default = options.get("default")
    if default is None:  # the first entry of a list that the user's folders fill
        return ""
    if default is True:
        return ON[language]
    return EMPTY[language] if default == "" else VALUE[language].format(default)


def texts_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"%[sdg]", "…", node.value)
