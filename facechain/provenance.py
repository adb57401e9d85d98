"""What a saved portrait says of itself: that it is AI-generated, of whom (as a hash), by which engines and models.

It is read by people and by programs, and stands there twice: as a JSON text in a chunk of our name, and as XMP with
the digital source type of the IPTC, which picture archives, search engines and social networks look for (see the
NewsCodes of that name). Names of people are not in it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from .check import version
from .faces.embedding import EMBEDDER
from .faces.insightface_files import LICENCE as INSIGHTFACE_LICENCE
from .fusion.inswapper import LICENCE as INSWAPPER_LICENCE
from .models.catalog import EMBEDDED, catalog

if TYPE_CHECKING:
    import numpy as np

    from .person import Person

FORMAT = "facechain-provenance-1"
CHUNK = "facechain"  # the PNG text chunk
XMP_CHUNK = "XML:com.adobe.xmp"  # where PNG files keep XMP (XMP specification part 3)
_PACKET = "W5M0MpCehiHzreSzNTczkc9d"  # by which programs find XMP in a file (the same, part 1)
_NAMESPACES = {
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
}
_SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/"
DRAWN = f"{_SOURCE}trainedAlgorithmicMedia"
COMPOSITE = f"{_SOURCE}compositeWithTrainedAlgorithmicMedia"  # a photo or painting with AI-generated parts
OURS = "FaceChain_"
_TEMPLATE_NODES = {"FaceChain_GroupPortrait", "FaceChain_TemplatePaste"}
_MODEL_SUFFIXES = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".gguf", ".onnx")
_ASK = "see its author's page"

Graph = Mapping[str, Any]  # a workflow in API format: {node id: {"class_type": ..., "inputs": {...}}}


def statement(
    graph: Graph, node: str | None, people: Sequence[Person] = (), style_lora: Callable[[str], str] = lambda _style: ""
) -> dict[str, Any]:
    """The statement of a picture that the graph makes, as JSON takes it.

    node: the node that saves it; what it does not depend on is left out. None, or one that the graph
    does not have (a node inside an expanded one), for the whole graph. people: who is portrayed.
    style_lora: the LoRA file of a style, "" where it is not used. What comes through a link instead of a widget
    cannot be told: its value is known to the graph alone.
    """
    nodes = list(_upstream(graph, node) if node in graph else graph.values())
    kinds = {_kind(each) for each in nodes}
    return {
        "format": FORMAT,
        "statement": "AI-generated",
        "generator": "FaceChain for ComfyUI",
        "version": version(),
        "digital_source_type": COMPOSITE if kinds & _TEMPLATE_NODES else DRAWN,
        "people": [{"hash": person.hash, "embedder": person.embedder} for person in people],
        "engines": _engines(nodes, people),
        "models": _models(nodes, style_lora),
    }


def uses_facechain(graph: Graph) -> bool:
    """Whether a graph has nodes of this pack."""
    return any(_kind(node).startswith(OURS) for node in graph.values())


def xmp_of(said: Mapping[str, Any]) -> str:
    """An XMP packet: IPTC's Digital Source Type, the tool, and a line for people."""
    tool = f"{said['generator']} {said['version']}"
    hashes = ", ".join(person["hash"] for person in said["people"])
    line = f"{said['statement']} by {tool}" + (f"; person {hashes}" if hashes else "")
    names = " ".join(f'xmlns:{short}="{full}"' for short, full in _NAMESPACES.items())
    found = [
        _element("Iptc4xmpExt:DigitalSourceType", escape(said["digital_source_type"])),
        _element("xmp:CreatorTool", escape(tool)),
        _element("dc:description", _element("rdf:Alt", _element("rdf:li", escape(line), ' xml:lang="x-default"'))),
    ]
    described = _element("rdf:RDF", _element("rdf:Description", "".join(found), ' rdf:about=""'))
    packet = _element("x:xmpmeta", described, f" {names}")
    return f'<?xpacket begin="\ufeff" id="{_PACKET}"?>{packet}<?xpacket end="w"?>'


def _element(name: str, inside: str, attributes: str = "") -> str:
    return f"<{name}{attributes}>{inside}</{name}>"


def png_of(pixels: np.ndarray, texts: Mapping[str, str], said: Mapping[str, Any] | None) -> bytes:
    """A PNG file of uint8 RGB [H, W, 3] with text chunks, and with the statement and its XMP unless it is None."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    for name, text in texts.items():
        chunks.add_text(name, text)
    if said is not None:
        chunks.add_text(CHUNK, json.dumps(said))
        chunks.add_itxt(XMP_CHUNK, xmp_of(said))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", pnginfo=chunks, compress_level=4)  # as core's Save Image
    return file.getvalue()


def _upstream(graph: Graph, node: str | None) -> Iterator[Mapping[str, Any]]:
    """The node and all that it depends on, each once."""
    seen: set[str] = set()
    waiting = [str(node)]
    while waiting:
        current = waiting.pop()
        if current in seen or current not in graph:
            continue
        seen.add(current)
        yield graph[current]
        waiting += [str(value[0]) for value in _inputs(graph[current]).values() if _is_link(value)]


def _is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], (str, int))


def _kind(node: Any) -> str:
    return str(node.get("class_type", "")) if isinstance(node, Mapping) else ""


def _inputs(node: Any) -> Mapping[str, Any]:
    inputs = node.get("inputs") if isinstance(node, Mapping) else None
    return inputs if isinstance(inputs, Mapping) else {}


def _engines(nodes: Sequence[Any], people: Sequence[Person]) -> list[dict[str, str]]:
    """What finds, recognises and fuses faces, each with its licence."""
    found: dict[str, str] = {}
    embedded = ", ".join(dict.fromkeys(file.licence for file in catalog() if file.group == EMBEDDED))
    for node in nodes:
        if not _kind(node).startswith(OURS):
            continue
        widgets = _inputs(node)
        if widgets.get("engine") == "embedded" or "embedded" in (widgets.get("fusion"), widgets.get("detector")):
            found["embedded"] = embedded
        if widgets.get("engine") == "insightface":
            found["insightface"] = INSIGHTFACE_LICENCE
        if widgets.get("fusion") == "inswapper":
            found["inswapper"] = INSWAPPER_LICENCE
    if any(person.embedder != EMBEDDER for person in people):  # there are two engines
        found["insightface"] = INSIGHTFACE_LICENCE
    return [{"name": name, "licence": licence} for name, licence in found.items()]


def _models(nodes: Sequence[Any], style_lora: Callable[[str], str]) -> list[dict[str, str]]:
    """Model files by name alone, each with its licence as far as the catalogue knows it; a person's LoRA unnamed."""
    licences = {file.file.lower(): file.licence for file in catalog()}
    found: dict[str, str] = {}
    for node in nodes:
        values = [value for value in _inputs(node).values() if isinstance(value, str)]
        if _kind(node).startswith(OURS) and isinstance(style := _inputs(node).get("style"), str):
            values.append(style_lora(style))
        for value in values:
            path = PurePosixPath(value.replace("\\", "/"))
            if not path.name.lower().endswith(_MODEL_SUFFIXES) or "\n" in value:
                continue
            if "facechain" in path.parts[:-1]:
                found["a person's or style's LoRA trained here"] = "the user's own"
            else:
                found[path.name] = licences.get(path.name.lower(), _ASK)
    return [{"file": name, "licence": licence} for name, licence in found.items()]
