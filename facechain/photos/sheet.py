"""The report: one card a photo, with its picture, its numbers, its verdict and the reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw

from ..lettering import font_for, plain_font, wide_font, write
from ..sheets import BAD, FAIR, GOOD
from .captions import age_class, phrase_zh_of
from .intake import Intake
from .look import Seen
from .tags import CHINESE
from .verdict import Verdict

_PAPER, _CARD, _INK, _FAINT, _TRACK = (243, 244, 246), (255, 255, 255), (31, 35, 40), (110, 118, 129), (228, 231, 235)
_CARD_SIZE = (600, 224)
_PICTURE = 192
_LINE = 20
_GAP = 16
_LONGEST = 6000  # pixels; longer sheets of many photos are drawn smaller
_GROWN = 18  # years read from the photos below which the report asks whether it is a child
_BADGES = {"accepted": ("ACCEPTED", GOOD), "rejected": ("REJECTED", BAD), "spare": ("NOT NEEDED", FAIR)}
_LABELS = {
    "sharpness": "Sharp",
    "size": "Face size",
    "frontal": "Frontal",
    "exposure": "Light",
    "confidence": "Landmarks",
    "consistency": "Likeness",
    "mouth": "Mouth",
    "eyes": "Eyes",
}


def report_sheet(
    intake: Intake, pictures: Sequence[Image.Image], check: Callable[[], None] = lambda: None
) -> np.ndarray:
    """The sheet as uint8 RGB [H, W, 3].

    pictures: those of pictures_of.
    check: called before each card; may raise to cancel.
    """
    count = len(intake.verdicts)
    columns = 1 if count == 1 else 2 if count <= 12 else math.ceil(math.sqrt(count / 1.6))
    rows = math.ceil(count / columns)
    width = columns * (_CARD_SIZE[0] + _GAP) + _GAP
    head = 84 + _LINE * len(_about(intake, width))
    height = head + rows * (_CARD_SIZE[1] + _GAP) + _GAP
    sheet = Image.new("RGB", (width, height), _PAPER)
    _draw_head(sheet, intake)
    for place, (verdict, picture) in enumerate(zip(intake.verdicts, pictures, strict=True)):
        check()
        row, column = divmod(place, columns)
        card = _card(verdict, picture)
        sheet.paste(card, (_GAP + column * (_CARD_SIZE[0] + _GAP), head + row * (_CARD_SIZE[1] + _GAP)))
    scale = min(1.0, _LONGEST / max(sheet.size))
    if scale < 1:
        sheet = sheet.resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)
    return np.asarray(sheet)


def _draw_head(sheet: Image.Image, intake: Intake) -> None:
    person, pen = intake.person, ImageDraw.Draw(sheet)
    _write(pen, (_GAP, 18), person.name, 28, _INK, sheet.width // 2)
    who = f"{person.attributes.gender}, {age_class(person.attributes.age)}"
    text = f"{person.count} of {len(intake.verdicts)} photos accepted   |   {who}   |   {person.caption}"
    _write(pen, (_GAP, 57), text, 16, _FAINT, sheet.width - 2 * _GAP)
    for line, (words, colour) in enumerate(_about(intake, sheet.width)):
        _write(pen, (_GAP, 80 + _LINE * line), words, 14, colour, sheet.width - 2 * _GAP)


def _about(intake: Intake, width: int) -> list[tuple[str, tuple[int, int, int]]]:
    """Lines of the report's head and their colours: the prompt's words, what looked at the faces, what users must know."""
    attributes, engine = intake.person.attributes, intake.engine
    words = ", ".join([attributes.phrase, *attributes.tags])
    chinese = "，".join([phrase_zh_of(attributes), *(CHINESE.get(tag, tag) for tag in attributes.tags)])
    said = [(f"In the prompt: {words}" + (f"   ({chinese})" if wide_font(14) is not plain_font(14) else ""), _FAINT)]
    said += [(doubt, _INK) for doubt in age_doubts(intake)]
    said += [(f"Faces: {engine.engine} ({engine.embedder}) on {engine.provider}", _FAINT)]
    said += [(f"Licence: {engine.licence}", _INK)] if engine.licence else []
    said += [(f"Warning: {engine.warning}", BAD)] if engine.warning else []
    return [(line, colour) for text, colour in said for line in _wrapped(text, 14, width - 2 * _GAP, max_lines=8)]


def age_doubts(intake: Intake) -> list[str]:
    """What the user should look at where the age was read from the photos; young women are read too low."""
    age = intake.person.attributes.age
    if not intake.age_guessed or age >= _GROWN:
        return []
    child = age_class(age) == "child"
    taken, other = ("a child", "an adult") if child else ("an adult", "a child")
    return [f"Age: taken for {taken}. If this is {other}, set 'age'."]


def _card(verdict: Verdict, picture: Image.Image) -> Image.Image:
    card = Image.new("RGB", _CARD_SIZE, _PAPER)
    pen = ImageDraw.Draw(card)
    word, colour = _BADGES[verdict.status]
    pen.rounded_rectangle((0, 0, _CARD_SIZE[0] - 1, _CARD_SIZE[1] - 1), 10, fill=_CARD, outline=_TRACK)
    pen.rounded_rectangle((0, 0, 6, _CARD_SIZE[1] - 1), 3, fill=colour)
    card.paste(picture, (_GAP + (_PICTURE - picture.width) // 2, _GAP + (_PICTURE - picture.height) // 2))
    left = _PICTURE + 2 * _GAP
    right = _CARD_SIZE[0] - _GAP
    edge = _badge(pen, right, 14, word, colour)
    if verdict.best:
        edge = _badge(pen, edge - 6, 14, "BEST", _INK)
    file = verdict.name.rpartition("/")[2]  # an uploaded photo's folder leaves no room for it
    title = file if file == f"photo {verdict.index}" else f"{verdict.index}  {file}"
    _write(pen, (left, 15), title, 17, _INK, edge - 8 - left)
    top = 44
    if verdict.numbers is not None:
        _bars(pen, verdict, (left, top))
        top += 94
    text = verdict.text.removeprefix("Accepted. ") if verdict.notes else verdict.text
    for line in _wrapped(text, 15, right - left, max_lines=(_CARD_SIZE[1] - top - 10) // 20):
        _write(pen, (left, top), line, 15, _INK, right - left)
        top += 20
    return card


def _bars(pen: ImageDraw.ImageDraw, verdict: Verdict, at: tuple[int, int]) -> None:
    numbers = verdict.numbers
    if numbers is None:
        return
    for place, (key, label) in enumerate(_LABELS.items()):
        value = vars(numbers)[key]
        row, column = place % 4, place // 4
        x, y = at[0] + column * 182, at[1] + row * 22
        _write(pen, (x, y), label, 14, _FAINT, 76)
        if value is None:
            _write(pen, (x + 74, y), "one photo alone", 13, _FAINT, 110)
            continue
        colour = GOOD if value >= 0.6 else FAIR if value >= 0.3 else BAD
        pen.rounded_rectangle((x + 74, y + 4, x + 128, y + 12), 4, fill=_TRACK)
        pen.rounded_rectangle((x + 74, y + 4, x + 74 + max(8, round(54 * value)), y + 12), 4, fill=colour)
        shown = f"{numbers.face_px} px" if key == "size" else f"{value:.2f}"
        _write(pen, (x + 134, y), shown, 13, _INK, 46)


def pictures_of(intake: Intake, check: Callable[[], None] = lambda: None) -> list[Image.Image]:
    """Each photo as the report shows it, in their order, at most 192 x 192. check: called before each; may raise."""
    found = []
    for place in range(len(intake.verdicts)):
        check()
        found.append(_picture(intake, place))
    return found


def _picture(intake: Intake, place: int) -> Image.Image:
    """The crop with the head's outline, or the whole photo with its faces framed."""
    found = intake.crops.get(place)
    if found is None:
        return _framed(intake.seen[place], GOOD if intake.verdicts[place].status == "spare" else BAD)
    aligned, mask = found
    crop = Image.fromarray(aligned.image).resize((_PICTURE, _PICTURE), Image.Resampling.LANCZOS)
    small = Image.fromarray((mask * 255).astype(np.uint8)).resize((_PICTURE, _PICTURE), Image.Resampling.LANCZOS)
    head = np.asarray(small) > 127
    # What is taken away is shown faintly; a line runs along the border.
    inner = head[1:-1, 1:-1] & head[:-2, 1:-1] & head[2:, 1:-1] & head[1:-1, :-2] & head[1:-1, 2:]
    line = head.copy()
    line[1:-1, 1:-1] &= ~inner
    pixels = np.asarray(crop).astype(np.float32)
    pixels = np.where(head[..., None], pixels, pixels * 0.45 + 255 * 0.55)
    pixels[line] = GOOD
    return Image.fromarray(pixels.astype(np.uint8))


def _framed(seen: Seen, colour: tuple[int, int, int]) -> Image.Image:
    scale = _PICTURE / max(seen.thumbnail.shape[:2])
    size = (max(1, round(seen.thumbnail.shape[1] * scale)), max(1, round(seen.thumbnail.shape[0] * scale)))
    picture = Image.fromarray(seen.thumbnail).resize(size, Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(picture)
    for face in seen.faces:
        pen.rectangle([float(v) * seen.scale * scale for v in face.box], outline=colour, width=2)
    return picture


def _badge(pen: ImageDraw.ImageDraw, right: int, top: int, word: str, colour: tuple[int, int, int]) -> int:
    """A pill that ends at right; returns where it begins."""
    font = plain_font(12)
    width = round(pen.textlength(word, font)) + 18
    pen.rounded_rectangle((right - width, top, right, top + 20), 10, fill=colour)
    pen.text((right - width / 2, top + 10), word, fill="white", font=font, anchor="mm")
    return right - width


def _write(
    pen: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int, colour: tuple[int, int, int], room: int
) -> None:
    """One line, cut with dots where it is longer than room pixels."""
    write(pen, at, " ".join(text.split()), size, colour, room)


def _wrapped(text: str, size: int, room: int, max_lines: int) -> Sequence[str]:
    font = font_for(text, size)
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines if len(lines) <= max_lines else [*lines[: max_lines - 1], f"{lines[max_lines - 1]} ..."]
