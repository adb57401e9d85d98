"""Tags of a head: right where they are given, on labelled pictures; what many photos and the user make of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from facechain.faces import engine
from facechain.images import from_pixels
from facechain.photos.align import Alignment, align
from facechain.photos.captions import phrase_zh_of, wanted_tags
from facechain.photos.headmask import OVAL, head_mask
from facechain.photos.intake import IntakeOptions, take_in
from facechain.photos.look import Photos
from facechain.photos.occlusion import Openness, openness
from facechain.photos.tags import CHINESE, Tag, common_tags, tags_of

LABELS = json.loads((Path(__file__).parents[1] / "data" / "appearance_labels.json").read_text(encoding="utf-8"))[
    "labels"
]
# One of each kind of head; benchmarks of all 90 labels: eyewear 3 of 3 right, length 43 of 44, colour 41 of 45.
SOME = ["Cybernetics_punk", "Fashion_glasses", "Flame_red_style", "Hong_Kong_night_style", "Men_suit", "Gentleman"]
SOME += ["Jacket_in_Snow_Mountain", "Pixy_Girl", "Deer_girl", "Armor", "Cartoon", "Street_style"]


def head(picture: np.ndarray) -> tuple[Alignment, np.ndarray, Openness, str]:
    face = engine().analyze([picture], embed=False, attributes=True)[0][0]
    aligned = align(picture, face, 512)
    return aligned, head_mask(aligned, picture), openness(picture, face), face.gender or "woman"


def load(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_tags_are_right_where_they_are_given(shared_data: Path) -> None:
    given: dict[str, list[bool]] = {"eyewear": [], "beard": [], "length": [], "colour": []}
    for name in SOME:
        label = LABELS[name]
        right = {label.get("eyewear"), {"long": "long hair", "short": "short hair"}.get(label["hair"])}
        right |= {f"{colour} hair" for colour in label["colour"]}
        for tag in tags_of(*head(load(shared_data / "styles_preview" / f"{name}.jpg"))):
            given[tag.kind].append(tag.english in right)
            assert tag.confidence >= 0.5
    assert given["eyewear"] == [True, True] and given["beard"] == []
    assert all(given["length"]) and len(given["length"]) >= 5
    assert sum(given["colour"]) >= 7 and given["colour"].count(False) <= 1


def test_drawn_glasses_and_beards_are_found(shared_data: Path) -> None:
    aligned, mask, opened, _ = head(load(shared_data / "people" / "man" / "portrait.png"))
    assert {t.kind for t in tags_of(aligned, mask, opened, "man")} <= {"length", "colour"}
    image, mesh = Image.fromarray(aligned.image), aligned.mesh
    pen = ImageDraw.Draw(image)
    for a, b in ((33, 133), (362, 263)):
        (x, y), w = (mesh[a, :2] + mesh[b, :2]) / 2, float(np.linalg.norm(mesh[a, :2] - mesh[b, :2]))
        pen.rounded_rectangle(
            (x - 0.85 * w, y - 0.5 * w, x + 0.85 * w, y + 0.75 * w), 0.3 * w, outline=(25, 20, 20), width=3
        )
    y1, y2 = (float((mesh[a, 1] + mesh[b, 1]) / 2) for a, b in ((33, 133), (362, 263)))
    pen.line([(float(mesh[133, 0]) + 2, y1), (float(mesh[362, 0]) - 2, y2)], fill=(25, 20, 20), width=3)
    with_glasses = Alignment(np.asarray(image), aligned.inside, aligned.matrix, mesh, aligned.side)
    assert "glasses" in [t.english for t in tags_of(with_glasses, mask, opened, "man")]

    beard = Image.new("L", image.size)
    shape = [i for i in OVAL if mesh[i, 1] > mesh[2, 1]] + [50, 205, 2, 425, 280]
    outline = sorted(shape, key=lambda i: float(np.arctan2(*(mesh[i, 1::-1] - mesh[14, 1::-1]))))
    ImageDraw.Draw(beard).polygon([(float(mesh[i, 0]), float(mesh[i, 1])) for i in outline], fill=235)
    lips = [61, 39, 0, 269, 291, 405, 17, 181]
    ImageDraw.Draw(beard).polygon([(float(mesh[i, 0]), float(mesh[i, 1])) for i in lips], fill=0)
    face = Image.composite(Image.new("RGB", image.size, (28, 22, 20)), Image.fromarray(aligned.image), beard)
    hairy = np.asarray(face.filter(ImageFilter.GaussianBlur(0.7)))
    bearded = Alignment(hairy, aligned.inside, aligned.matrix, mesh, aligned.side)
    assert "beard" in [t.english for t in tags_of(bearded, mask, opened, "man")]
    assert "beard" not in [t.english for t in tags_of(bearded, mask, opened, "woman")]


def test_more_than_half_of_the_photos_must_agree() -> None:
    glasses, long, black = Tag("glasses", 0.9), Tag("long hair", 0.8), Tag("black hair", 1.0)
    assert common_tags([[glasses, long], [long], [black, long], [black]]) == [Tag("long hair", 0.6)]
    assert common_tags([]) == [] and [t.english for t in common_tags([[black, glasses]])] == ["glasses", "black hair"]
    assert glasses.chinese == "戴眼镜" and {Tag(name, 1).kind for name in CHINESE} == {
        "eyewear",
        "beard",
        "length",
        "colour",
    }


@pytest.mark.parametrize(
    ("written", "tags"),
    [
        ("", ("long hair",)),
        (" \n ", ("long hair",)),
        ("none", ()),
        ("None", ()),
        ("curly  hair, no glasses\nfreckles, freckles", ("curly hair", "no glasses", "freckles")),
    ],
)
def test_the_user_decides(written: str, tags: tuple[str, ...]) -> None:
    assert wanted_tags(written, [Tag("long hair", 0.8)]) == tags


def test_tags_reach_the_record_and_the_report_but_not_the_caption(shared_data: Path) -> None:
    photos = Photos([from_pixels(load(shared_data / "styles_preview" / "Hong_Kong_night_style.jpg"))])
    found = take_in(photos, [], engine(), IntakeOptions())
    assert found.person.attributes.tags == ("long hair", "black hair")
    assert found.person.caption == f"<fcsks>, {found.person.attributes.phrase}"
    about = json.loads(found.as_json())
    assert about["phrase_zh"] == phrase_zh_of(found.person.attributes) == "美丽的女士"
    assert [t["zh"] for t in about["found_tags"]] == ["长发", "黑发"]
    assert about["photos"][0]["numbers"]["mouth"] == about["photos"][0]["numbers"]["eyes"] == 1.0
    other = take_in(photos, [], engine(), IntakeOptions(tags="wavy hair"))
    assert other.person.attributes.tags == ("wavy hair",) and other.person.hash == found.person.hash
