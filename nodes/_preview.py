"""What the page of ComfyUI asks of styles before anything runs: the list with names, and the prompts as they will be.

GET /facechain/styles, POST /facechain/prompts. Nodes need neither: what they show is in their outputs as well.
"""

from __future__ import annotations

import asyncio
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..facechain.errors import FaceChainError, RecordError, UnusableNameError
from . import _host, _styles

if TYPE_CHECKING:
    from ..facechain.prompts import Portrayed

_MOST_BYTES = 256 * 1024  # of a request


def register() -> None:
    """Answer the two addresses, where a ComfyUI server is running in this process."""
    running = _host.running_server()
    if running is None:
        return
    from aiohttp import web

    async def styles(_request: Any) -> Any:
        return web.json_response(await asyncio.to_thread(_styles.about_styles))

    async def prompts(request: Any) -> Any:
        try:
            body = b""
            async for part in request.content.iter_any():  # as it comes: one read may give a part alone
                body += part
                if len(body) > _MOST_BYTES:
                    return web.json_response({"error": f"more than {_MOST_BYTES} bytes"}, status=413)
            return web.json_response(await asyncio.to_thread(preview, json.loads(body)))
        except FaceChainError as error:
            return web.json_response({"error": str(error)}, status=400)
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            return web.json_response({"error": f"this is no request for prompts ({error})"}, status=400)

    running.routes.get("/facechain/styles")(styles)
    running.routes.post("/facechain/prompts")(prompts)


def preview(asked: dict[str, Any]) -> dict[str, Any]:
    """Both prompts as Load Style will compose them, and its notes as far as they are known before it runs.

    asked: Load Style's text widgets by name, and "person": None for nobody, or the name, gender, age and tags
    of a FaceChain Preprocess or the name of a saved person. Raises RecordError as the node does.
    """
    from ..facechain.blending import Blend, parse_blend
    from ..facechain.prompts import compose

    style = _styles.load_named(str(asked["style"]))
    further = [(_styles.load_named(name), weight) for name, weight in parse_blend(str(asked.get("blend", "")))]
    blends = [Blend(other, weight, _has_lora(other)) for other, weight in further]
    person, known = _portrayed(asked["person"]) if asked.get("person") else (None, [])
    words = compose(
        *(style, person, str(asked.get("frame", "upper body"))),
        *(str(asked.get("extra_prompt", "")), str(asked.get("extra_negative", ""))),
        *(_has_lora(style), blends, str(asked.get("leave_out", ""))),
    )
    words, lengths = _styles.fitted(_host.tokenizer(), words)
    loras = [f"Style LoRA: {style.lora}" if _has_lora(style) else _styles.lora_note(style)]
    loras += [f"Blended: {other.name} at {weight:g}" for other, weight in further]
    notes = [_styles.about(style), *loras, *known, *words.notes, *lengths]
    return {"positive": words.positive, "negative": words.negative, "notes": notes}


def _has_lora(style: Any) -> bool:
    return bool(style.lora and _host.find_lora(style.lora))


def _portrayed(asked: dict[str, Any]) -> tuple[Portrayed, list[str]]:
    """Whom the prompts are about: the saved person, or what the widgets of Preprocess say; and how sure that is."""
    from ..facechain.person import Attributes
    from ..facechain.photos.captions import phrase_of, wanted_tags
    from ..facechain.prompts import Sitter

    name = str(asked.get("name") or "person")
    about, notes = _saved(name), []
    gender, age = asked.get("gender"), float(asked.get("age") or 0)
    if about is None:
        about = Attributes("woman", 30.0, "a beautiful woman")
        told = [what for what, known in (("gender", gender in ("woman", "man")), ("age", age > 0)) if not known]
        notes = [f"Person: {name} has not been seen yet, {' and '.join(told)} assumed"] if told else []
    sex = gender if gender in ("woman", "man") else about.gender
    years = age or about.age
    same = (sex, years) == (about.gender, about.age)
    phrase = about.phrase if same else phrase_of("man" if sex == "man" else "woman", years)
    tags = wanted_tags(str(asked.get("tags", "")), []) if str(asked.get("tags", "")).strip() else about.tags
    return Sitter(name, Attributes(sex, years, phrase, tags)), notes


def _saved(name: str) -> Any:
    """The attributes of a saved person; None where there is none of that name."""
    try:
        file = _host.person_file(name)
    except UnusableNameError:
        return None
    return _attributes(file, _host.file_stamp(file)) if file.is_file() else None


def forget_people() -> None:
    """Let go of what was read of saved people."""
    _attributes.cache_clear()


@lru_cache(maxsize=64)
def _attributes(file: Any, stamp: str) -> Any:
    """stamp: of the file, which is read again when it changes."""
    from ..facechain.person import load_person

    try:
        return load_person(file).attributes
    except RecordError:  # Load Person says so
        return None
