"""The shipped graphs, read as data: they fit the nodes, hang together, and can be looked at."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import noodles
import pytest
from PIL import Image

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows"
GRAPHS = sorted(WORKFLOWS.glob("*.json"))
MUTED = 2
TITLE = 30  # pixels of a node's title, which lies above its position

# Core's nodes in the graphs: widgets in the order in which their values are saved, as of ComfyUI 0.3.75.
CORE_WIDGETS = {
    "CheckpointLoaderSimple": ["ckpt_name"],
    "ControlNetLoader": ["control_net_name"],
    "EmptyLatentImage": ["width", "height", "batch_size"],
    "ImageScaleBy": ["upscale_method", "scale_by"],
    "ImageUpscaleWithModel": [],
    "KSampler": [
        *("seed", "control_after_generate", "steps", "cfg"),
        *("sampler_name", "scheduler", "denoise"),
    ],
    "LoadImage": ["image", "upload"],
    "LoraLoaderModelOnly": ["lora_name", "strength_model"],
    "ModelSamplingDiscrete": ["sampling", "zsnr"],
    "PreviewImage": [],
    "RebatchImages": ["batch_size"],
    "UpscaleModelLoader": ["model_name"],
    "VAEDecode": [],
    "VAEEncode": [],
}
CHINESE = re.compile(r"[\u4e00-\u9fff]")
# Crossings that the order of sockets leaves, as few as could be reached. Everywhere: the VAE comes from the left of a
# person, goes to the left of where that person goes, and both come from below. hires: two KSamplers that take the same
# three things, one noodle each (3 crossings); group_photo: three nodes that take the checkpoint's three outputs (6).
CROSSINGS = {
    "train_person": 0,
    "train_style": 0,
    "trained_portrait": 1,
    "style_portrait": 1,
    "style_portrait_fast": 1,
    "pose_portrait": 1,
    "style_portrait_hires": 4,
    "group_photo": 6,
}
NOTES = {"MarkdownNote", "Note"}  # of the front end alone; no server knows them

Graph = dict[str, Any]
Box = tuple[float, float, float, float]


def _read(path: Path) -> Graph:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(params=GRAPHS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture()
def graph(path: Path) -> Graph:
    return _read(path)


@pytest.fixture(scope="module")
def widgets(declared: dict[str, Any]) -> dict[str, list[str]]:
    return CORE_WIDGETS | {name: parts["widgets"] for name, parts in declared.items()}


def _values(node: Graph, widgets: dict[str, list[str]]) -> dict[str, Any]:
    return dict(zip(widgets[node["type"]], node.get("widgets_values", []), strict=True))


def _box(node: Graph) -> Box:
    (x, y), (width, height) = node["pos"], node["size"]
    return x, y - TITLE, x + width, y + height


def test_every_job_has_a_graph() -> None:
    portraits = {"style_portrait", "style_portrait_fast", "style_portrait_hires", "pose_portrait"}
    portraits |= {"trained_portrait"}
    assert portraits | {"train_person", "group_photo", "train_style"} <= {path.stem for path in GRAPHS}


def test_notes_titles_and_groups_speak_both_languages(graph: Graph) -> None:
    notes = [node for node in graph["nodes"] if node["type"] in NOTES]
    assert notes
    for node in notes:
        english, _, chinese = node["widgets_values"][0].partition("\n\n---\n\n")
        assert english and not CHINESE.search(english), node["title"]
        assert len(CHINESE.findall(chinese)) > 8, node["title"]
        assert " · " in node["title"]
    # a group called after a person needs no translation
    assert all(CHINESE.search(group["title"]) or len(group["title"]) < 8 for group in graph["groups"])


def test_every_node_exists_and_has_a_value_for_each_widget(graph: Graph, widgets: dict[str, list[str]]) -> None:
    for node in graph["nodes"]:
        if node["type"] not in NOTES:
            assert node["type"] in widgets
            assert len(node.get("widgets_values", [])) == len(widgets[node["type"]]), node["type"]


def test_sockets_are_as_declared(graph: Graph, declared: dict[str, Any]) -> None:
    for node in graph["nodes"]:
        if node["type"] in declared:
            parts = declared[node["type"]]
            sockets = {slot["name"]: slot["type"] for slot in node["inputs"]}
            assert sockets == {name: kind for name, kind, _ in parts["inputs"]}
            assert [slot["type"] for slot in node["outputs"]] == [kind for _, kind, _ in parts["outputs"]]
            assert [slot["name"] for slot in node["outputs"]] == [name for name, _, _ in parts["outputs"]]


def test_links_agree_with_their_ends(graph: Graph) -> None:
    nodes = {node["id"]: node for node in graph["nodes"]}
    for number, source, output, target, entry, kind in graph["links"]:
        assert number in nodes[source]["outputs"][output]["links"]
        assert nodes[target]["inputs"][entry]["link"] == number
        assert nodes[source]["outputs"][output]["type"] == nodes[target]["inputs"][entry]["type"] == kind
    known = {link[0] for link in graph["links"]}
    assert {slot["link"] for node in graph["nodes"] for slot in node.get("inputs", [])} - {None} == known


def test_the_first_view_is_saved_and_readable(graph: Graph) -> None:
    """Without a saved view the front end fits the whole graph into the window: notes are too small to be read, and its
    "Nodes 2.0" then measures nodes before the view has changed, and tears the groups apart (1.32)."""
    view = graph["extra"]["ds"]
    assert view["scale"] >= 0.6
    left, top = (
        view["scale"] * (view["offset"][axis] + min(n["pos"][axis] for n in graph["nodes"])) for axis in (0, 1)
    )
    assert 60 < left < 200 and 100 < top < 250  # clear of the front end's bars


def test_required_sockets_are_connected(graph: Graph, declared: dict[str, Any], widgets: dict[str, list[str]]) -> None:
    for node in graph["nodes"]:
        required = [
            name for name, _, need in declared.get(node["type"], {"inputs": []})["inputs"] if need == "required"
        ]
        linked = {slot["name"] for slot in node.get("inputs", []) if slot["link"] is not None}
        assert set(required) - set(widgets.get(node["type"], [])) <= linked, node["type"]


def test_the_api_file_has_the_same_nodes_and_values(path: Path, graph: Graph, widgets: dict[str, list[str]]) -> None:
    api = _read(WORKFLOWS / "api" / path.name)
    active = {str(node["id"]): node for node in graph["nodes"] if node["type"] not in NOTES and node["mode"] != MUTED}
    assert {key: node["class_type"] for key, node in api.items()} == {key: n["type"] for key, n in active.items()}
    links = {link[0]: [str(link[1]), link[2]] for link in graph["links"] if str(link[1]) in active}
    for key, node in active.items():
        expected = {
            name: value
            for name, value in _values(node, widgets).items()
            if name not in ("control_after_generate", "upload")
        }
        expected |= {slot["name"]: links[slot["link"]] for slot in node["inputs"] if slot["link"] in links}
        assert api[key]["inputs"] == expected, node["type"]


def test_no_two_nodes_overlap_and_each_lies_in_at_most_one_group(graph: Graph) -> None:
    boxes = {f"{node['type']} {node['id']}": _box(node) for node in graph["nodes"]}
    for (one, a), (other, b) in itertools.combinations(boxes.items(), 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], f"{one} covers {other}"
    for name, (left, top, right, bottom) in boxes.items():
        around = 0
        for group in graph["groups"]:
            x, y, width, height = group["bounding"]
            apart = right <= x or left >= x + width or bottom <= y or top >= y + height
            inside = x <= left and right <= x + width and y <= top and bottom <= y + height
            assert apart or inside, f"{name} sticks out of {group['title']}"
            around += inside
        assert around <= 1, name


def test_noodles_run_from_left_to_right(graph: Graph) -> None:
    nodes = {node["id"]: node for node in graph["nodes"]}
    for _, source, _, target, *_ in graph["links"]:
        assert nodes[source]["pos"][0] + nodes[source]["size"][0] <= nodes[target]["pos"][0]


def test_noodles_cross_only_where_sockets_leave_no_other_way(path: Path, graph: Graph) -> None:
    assert len(noodles.crossings(graph)) <= CROSSINGS[path.stem]


def test_no_noodle_runs_behind_a_node(graph: Graph) -> None:
    ends = {link: {source, target} for link, source, _, target, *_ in graph["links"]}
    for curve in noodles.curves(graph):
        own = set().union(*(ends[link] for link in curve.links))
        for node in graph["nodes"]:
            left, top, right, bottom = _box(node)
            x, y = curve.pieces().T
            behind = (left < x) & (x < right) & (top < y) & (y < bottom)
            assert node["id"] in own or not behind.any(), f"links {curve.links} run behind {node['type']} {node['id']}"


def test_two_crossed_noodles_are_found(graph: Graph) -> None:
    """The count itself: two noodles that lie side by side cross when their sources are exchanged."""
    before = len(noodles.crossings(graph))
    loader = next(node["id"] for node in graph["nodes"] if node["type"] == "CheckpointLoaderSimple")
    model, clip = (next(link for link in graph["links"] if link[1:3] == [loader, output]) for output in (0, 1))
    model[2], clip[2] = 1, 0
    assert len(noodles.crossings(graph)) > before


def test_models_can_be_fetched_by_the_front_end(graph: Graph, widgets: dict[str, list[str]]) -> None:
    """Loaders say where their file comes from and what it is, under the very name they load, as the catalogue does."""
    listed = json.loads((WORKFLOWS.parent / "models" / "catalog.json").read_text(encoding="utf-8"))["files"]
    catalogue = {file["file"]: file for file in listed}
    folders = {"CheckpointLoaderSimple": "checkpoints", "ControlNetLoader": "controlnet"}
    folders |= {"LoraLoaderModelOnly": "loras", "UpscaleModelLoader": "upscale_models"}
    loaders = [node for node in graph["nodes"] if node["type"] in folders]
    assert loaders
    for node in loaders:
        (model,) = node["properties"]["models"]
        assert model["name"] in _values(node, widgets).values()
        assert model["directory"] == folders[node["type"]]
        known = catalogue[model["name"]]
        assert (model["url"], model["hash"], model["hash_type"]) == (known["url"], known["sha256"], "SHA256")


def test_our_nodes_say_which_pack_they_belong_to(graph: Graph) -> None:
    """By this ComfyUI-Manager offers the pack to somebody who opens the graph without it."""
    for node in graph["nodes"]:
        if node["type"].startswith("FaceChain_"):
            assert node["properties"]["cnr_id"] == "facechain-studio"


def test_nothing_of_the_machine_that_drew_it(path: Path) -> None:
    for file in (path, WORKFLOWS / "api" / path.name):
        text = file.read_text(encoding="utf-8")
        for string in re.findall(r'"((?:[^"\\]|\\.)*)"', text):
            assert not re.match(r"(/|~|[A-Za-z]:\\\\|file:)", string), string


def test_each_graph_has_a_picture_for_the_template_browser(path: Path) -> None:
    with Image.open(path.with_suffix(".jpg")) as picture:
        assert picture.format == "JPEG"
        assert picture.width >= 600 and picture.width == picture.height  # the cards are square
    assert path.with_suffix(".jpg").stat().st_size < 200_000
