"""Prompts: who is portrayed, the style and the frame, put together in a fixed order.

Order: trigger, attribute phrase, the person's recurring tags, outfit, style, LoRA words, frame,
quality, the user's own words. A piece is what stands between two commas outside brackets.
Where two pieces say the same or contradict each other one stays: the user's before the frame's,
the style's and the person's. Only ComfyUI's weighting is written, as ComfyUI applies it literally.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from .blending import Blend, weighted
from .errors import RecordError
from .person import TRIGGER, Attributes
from .pieces import Edits, bare, pieces
from .styles import Style

FRAMES = {
    "close-up": "close-up portrait",
    "upper body": "upper body, medium shot",
    "full body": "full body, wide shot",
    "none": "",
}
QUALITY = "raw photo, masterpiece, best quality, solo, highly detailed face, photorealistic"
NEGATIVE = (
    "nsfw, nude, (worst quality, low quality:1.3), lowres, blurry, deformed face, bad anatomy, "
    "bad hands, extra limbs, multiple people, text, watermark, signature"
)
# What must not appear, by who is portrayed. FaceChain adds "children" for men alone.
_NOT = {
    "woman": "children, male, beard",
    "man": "children, female, makeup",
    "girl": "adult, mature, makeup",
    "boy": "adult, mature, makeup, beard",
}
_CHILD = r"\b(?:boy|girl|child|children)\b"
_MODEST = "cleavage, revealing clothes"
_DECENT = f"nsfw, nude, {_MODEST}"
_CHILD_AGE, _MODEST_AGE = 16, 21  # years; ages are guesses that are off by five, so modesty starts later

# one, several, tag
_NOUNS = {
    "woman": ("woman", "women", "1girl"),
    "man": ("man", "men", "1boy"),
    "girl": ("girl", "girls", "1girl"),
    "boy": ("boy", "boys", "1boy"),
}
_WORDS = {
    "one": "girl|woman|lady|boy|man|guy",
    "several": "girls|women|ladies|boys|men|guys",
    "tag": "1girl|1boy",
    "he": "he|his|himself",
    "she": "she|her|hers|herself",
}
_PERSON_WORD = r"\b(?:" + "|".join(f"(?P<{kind}>{words})" for kind, words in _WORDS.items()) + r")\b"
_HE = {"she": "he", "her": "his", "hers": "his", "herself": "himself"}
_SHE = {"he": "she", "his": "her", "himself": "herself"}

_COLOURS = (
    "black|brown|blonde?|red|ginger|auburn|white|gr[ae]y|silver|golden|purple|blue|green|pink|rainbow(?:-coloured)?"
)
_BODIES, _SHOTS = "upper|full|half|lower", "medium|wide|long|face|waist|bust"
# Pieces of one kind exclude each other. Only short pieces are judged: longer ones say more than that.
_KINDS = {
    "hair length": r"\b(?:short|medium|long|shoulder-length|bob|bald)\b.*\bhair\b|\bbald\b|\bbob\b",
    "hair colour": rf"\b(?:{_COLOURS})\b.*\bhair\b",
    "hair form": r"\b(?:straight|wavy|curly)\b.*\bhair\b",
    "mouth": r"\b(?:smil\w+|laugh\w+|grin|serious|expressionless|frown\w*|pensive)\b",
    "eyewear": r"\b(?:sun)?glasses\b|\bgoggles\b",
    "frame": rf"^(?:close-up.*|.*\b(?:{_BODIES})[ _]body|.*\b(?:{_SHOTS}) shot)$",
}
_LONG = 5  # words


class Portrayed(Protocol):
    """What a prompt says of somebody; a Person has it all."""

    @property
    def name(self) -> str: ...
    @property
    def trigger(self) -> str: ...
    @property
    def attributes(self) -> Attributes: ...


@dataclass(frozen=True)
class Sitter:
    """Somebody of whom there are words alone, no photos yet."""

    name: str
    attributes: Attributes
    trigger: str = TRIGGER


@dataclass(frozen=True)
class Prompts:
    """positive, negative: for ComfyUI's text encoders. notes: what a user should know about them."""

    positive: str
    negative: str
    notes: tuple[str, ...] = ()


def compose(
    style: Style,
    person: Portrayed | None = None,
    frame: str = "upper body",
    extra: str = "",
    extra_negative: str = "",
    with_lora: bool = False,
    blends: Sequence[Blend] = (),
    leave_out: str = "",
) -> Prompts:
    """Both prompts for a person (or nobody in particular) in a style; the same input gives the same text.

    frame: a key of FRAMES. extra, extra_negative: the user's words, kept as they are, at the end.
    with_lora: the style's LoRA is applied, so its own words are added. blends: further styles, whose words come after
    the style's, weighted, where they do not contradict it. leave_out: pieces that must not stand in either prompt;
    "piece = other words" puts those in its place. Raises RecordError for another frame.
    """
    if frame not in FRAMES:
        raise RecordError(f"there is no frame {frame!r}", f"Choose one of: {', '.join(FRAMES)}")
    wearer = _wearer(person) if person else _first_wearer(style)
    tags = [_literal(tag) for tag in person.attributes.tags if not _denied(tag)] if person else []
    subject = [person.trigger, _literal(person.attributes.phrase)] if person else [f"a {wearer}"] if wearer else []
    outfit = style.outfit_for(wearer) if wearer else ""
    look = [_for_wearer(piece, wearer) for text in (outfit, style.prompt) for piece in pieces(text)]
    look += pieces(style.lora_words) if with_lora else []
    for blend in blends:
        look += weighted(_without(_look_of(blend, wearer), look), blend.weight)
    framing, quality, own = pieces(FRAMES[frame]), pieces(style.quality or QUALITY), pieces(extra)

    look = _without(look, [*own, *framing])
    tags = _without(tags, [*own, *look])
    order = [*subject, *tags, *look, *_without(framing, own), *_without(quality, own)]
    edits = Edits(leave_out)
    positive = _joined(_unique(edits.applied(order), own), extra)
    unwanted = [*pieces(style.negative), *(piece for blend in blends for piece in pieces(blend.style.negative))]
    negative = _joined(_unwanted(unwanted, person, wearer, positive, edits, pieces(extra_negative)), extra_negative)
    return Prompts(positive, negative, (*_notes(style, person, wearer, outfit), *edits.idle()))


def _look_of(blend: Blend, wearer: str | None) -> list[str]:
    """What a further style adds: place, light and clothes for this wearer, and its LoRA's words."""
    outfit = blend.style.outfit_for(wearer) if wearer else ""
    look = [_for_wearer(piece, wearer) for text in (outfit, blend.style.prompt) for piece in pieces(text)]
    return look + (pieces(blend.style.lora_words) if blend.with_lora else [])


def _joined(words: list[str], own: str) -> str:
    return ", ".join([*words, *([own.strip()] if own.strip() else [])])


# --- the person -----------------------------------------------------------------------


def _wearer(person: Portrayed) -> str:
    """Whose clothes. The phrase that is in the prompt decides before the guessed age."""
    about = person.attributes
    child = re.search(_CHILD, about.phrase) or about.age < _CHILD_AGE
    if about.gender == "man":
        return "boy" if child else "man"
    return "girl" if child else "woman"


def _first_wearer(style: Style) -> str | None:
    """Whom the style names first, for a portrait of nobody in particular."""
    first = next(iter(style.outfit), None)
    return first if first in _NOUNS else None


def _for_wearer(piece: str, wearer: str | None) -> str:
    """The piece with its nouns and pronouns turned to the person's: "a girl in her garden", "a man in his garden"."""
    if wearer is None:
        return piece
    words: dict[str, str] = dict(zip(("one", "several", "tag"), _NOUNS[wearer], strict=True))
    pronouns = _SHE if wearer in ("woman", "girl") else _HE

    def turn(match: re.Match[str]) -> str:
        return words.get(match.lastgroup or "") or pronouns.get(match.group().lower(), match.group())

    return re.sub(_PERSON_WORD, turn, piece, flags=re.IGNORECASE)


def _denied(tag: str) -> str:
    """What a tag says is not there: "no glasses" -> "glasses"; "" for other tags."""
    return (re.match(r"no\s+(.+)", tag.strip(), re.IGNORECASE) or ["", ""])[1]


def _literal(text: str) -> str:
    """Text whose brackets ComfyUI is not to read as weights."""
    return re.sub(r"(?<!\\)([()])", r"\\\1", text.strip())


# --- duplicates and contradictions ------------------------------------------------------


def _unique(candidates: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """The candidates that say something that neither `taken` nor an earlier one says."""
    said = {part for piece in taken for part in bare(piece)}
    kept = []
    for piece in candidates:
        parts = set(bare(piece))
        if parts - said:
            kept.append(piece)
            said |= parts
    return kept


def _kinds(piece: str) -> set[str]:
    text = re.sub(r":\s*-?[0-9.]+\s*(?=\))|[()]", "", piece.lower()).replace("_", " ")
    if len(text.split()) > _LONG:
        return set()
    return {kind for kind, pattern in _KINDS.items() if re.search(pattern, text)}


def _without(candidates: Iterable[str], stronger: Iterable[str]) -> list[str]:
    """The candidates that no stronger piece contradicts (two hair colours, two frames)."""
    settled = {kind for piece in stronger for kind in _kinds(piece)}
    return [piece for piece in candidates if not _kinds(piece) & settled]


# --- the negative prompt ----------------------------------------------------------------


def _unwanted(
    unwanted: list[str], person: Portrayed | None, wearer: str | None, positive: str, edits: Edits, own: list[str]
) -> list[str]:
    """The pieces of the negative prompt, without the user's own."""
    words = [*pieces(NEGATIVE), *unwanted, *pieces(_NOT.get(wearer or "", ""))]
    child = wearer in ("girl", "boy")
    words += pieces(_MODEST) if child or (person and person.attributes.age < _MODEST_AGE) else []
    words += [_literal(denied) for tag in (person.attributes.tags if person else ()) if (denied := _denied(tag))]
    asked = " ".join(re.sub(r"[\s_()-]+", " ", positive.lower()).split())
    kept = [word for word in edits.applied(words) if not any(_mentioned(part, asked) for part in bare(word))]
    # nobody switches these off for a child
    return _unique([*kept, *(pieces(_DECENT) if child else [])], own)


def _mentioned(part: str, text: str) -> bool:
    """The positive prompt asks for it: "glasses" in "red sunglasses", "makeup" in "opera makeup"."""
    start = r"(?:sun)?" if part == "glasses" else ""
    return re.search(rf"\b{start}{re.escape(part)}\b", text) is not None


def _notes(style: Style, person: Portrayed | None, wearer: str | None, outfit: str) -> tuple[str, ...]:
    notes = []
    if wearer and style.outfit and not outfit:
        notes.append(f"this style has no outfit for a {wearer}: its general prompt alone is used")
    if person and wearer in ("girl", "boy") and not re.search(_CHILD, person.attributes.phrase):
        notes.append(
            f"{person.name} is dressed as a {wearer}, judged {person.attributes.age:.0f} years old: "
            "where that is wrong set the age in FaceChain Preprocess"
        )
    return tuple(notes)
