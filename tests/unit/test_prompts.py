"""Prompts: order, six kinds of people, no repeats or contradictions, CLIP's windows."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from facechain.blending import Blend, parse_blend
from facechain.errors import RecordError
from facechain.person import Attributes, Person
from facechain.photos.captions import phrase_of
from facechain.prompts import FRAMES, Sitter, compose, pieces
from facechain.styles import Style, load_style

PEOPLE = {  # FaceChain's phrases
    "a girl, children": ("woman", 6.0),
    "a boy, children": ("man", 6.0),
    "a beautiful woman": ("woman", 28.0),
    "a handsome man": ("man", 28.0),
    "a mature woman": ("woman", 55.0),
    "a mature man": ("man", 55.0),
}
STYLE = Style(
    id="garden",
    name="Garden",
    prompt="a girl in her garden, roses, gentle smile, upper body",
    outfit={"woman": "red dress", "man": "red jacket", "child": "red raincoat"},
    lora="garden.safetensors",
    lora_words="gardenlook",
    negative="night, woman",
)


def person(phrase: str, *tags: str, gender: str = "", age: float = -1) -> Person:
    known_gender, known_age = PEOPLE.get(phrase, ("woman", 28.0))
    about = Attributes(gender or known_gender, age if age >= 0 else known_age, phrase, tags)
    one = torch.ones(1)
    return Person(
        name="anna",
        images=torch.zeros(1, 8, 8, 3),
        masks=torch.zeros(1, 8, 8),
        embeddings=torch.eye(1, 4),
        embedder="test",
        quality=one,
        poses=torch.zeros(1, 3),
        attributes=about,
        caption=f"<fcsks>, {phrase}",
    )


def test_the_order_is_fixed() -> None:
    who = person("a beautiful woman", "long hair", "freckles", "no glasses")
    words = compose(STYLE, who, "close-up", "bokeh", "rain", True)
    assert words.positive == (
        "<fcsks>, a beautiful woman, long hair, freckles, red dress, a woman in her garden, roses, gentle smile, "
        "gardenlook, close-up portrait, raw photo, masterpiece, best quality, solo, highly detailed face, "
        "photorealistic, bokeh"
    )
    assert words.negative.startswith("nsfw, nude, (worst quality, low quality:1.3)")
    assert words.negative.endswith(", night, children, male, beard, glasses, rain")


def test_the_phrases_are_those_of_preprocess() -> None:
    assert set(PEOPLE) == {phrase_of(gender, age) for gender, age in PEOPLE.values()}  # type: ignore[arg-type]


def test_the_same_input_gives_the_same_text() -> None:
    assert compose(STYLE, person("a boy, children"), "none") == compose(STYLE, person("a boy, children"), "none")


@pytest.mark.parametrize(
    ("phrase", "said", "outfit", "banned"),
    [
        ("a girl, children", "a girl in her garden", "red raincoat", ["adult", "makeup", "revealing clothes"]),
        ("a boy, children", "a boy in his garden", "red raincoat", ["adult", "makeup", "revealing clothes"]),
        ("a beautiful woman", "a woman in her garden", "red dress", ["children", "male", "beard"]),
        ("a handsome man", "a man in his garden", "red jacket", ["children", "female", "makeup"]),
        ("a mature woman", "a woman in her garden", "red dress", ["children", "male", "beard"]),
        ("a mature man", "a man in his garden", "red jacket", ["children", "female", "makeup"]),
    ],
)
def test_words_turn_to_whoever_is_portrayed(phrase: str, said: str, outfit: str, banned: list[str]) -> None:
    words = compose(STYLE, person(phrase))
    assert words.positive.startswith(f"<fcsks>, {phrase}, {outfit}, {said}")
    assert set(banned) <= set(pieces(words.negative))
    adult = "children" in banned
    assert ("children" in pieces(words.negative)) == adult
    assert ("revealing clothes" in pieces(words.negative)) != adult


def test_the_negative_never_bans_what_is_asked_for() -> None:
    assert "woman" not in pieces(compose(STYLE, person("a beautiful woman")).negative)
    opera = replace(STYLE, outfit={"man": "opera robe, opera makeup"})
    assert "makeup" not in pieces(compose(opera, person("a handsome man")).negative)
    shades = replace(STYLE, outfit={"woman": "red sunglasses"})
    assert "glasses" not in pieces(compose(shades, person("a beautiful woman", "smile")).negative)


def test_the_young_are_kept_modest_even_where_the_guess_says_adult() -> None:
    assert "cleavage" in pieces(compose(STYLE, person("a beautiful woman", age=18)).negative)
    assert "cleavage" not in pieces(compose(STYLE, person("a beautiful woman", age=25)).negative)
    # the phrase in the prompt decides over the guessed age, so clothes never contradict it
    assert "red raincoat" in compose(STYLE, person("a girl, children", age=30)).positive
    young = compose(STYLE, person("a handsome man", gender="man", age=14))
    assert "red raincoat" in young.positive
    assert "anna is dressed as a boy, judged 14 years old" in young.notes[0]


def test_glasses() -> None:
    known = compose(STYLE, person("a handsome man", "short hair", "no glasses", gender="man"))
    assert "glasses" in pieces(known.negative) and "glasses" not in known.positive
    worn = compose(STYLE, person("a handsome man", "glasses", gender="man"))
    assert "glasses" in pieces(worn.positive)
    assert "glasses" not in pieces(worn.negative)
    # thin frames may be missed in photos: that no tag names glasses does not rule them out
    assert "glasses" not in compose(STYLE, person("a handsome man", "short hair", gender="man")).negative


def test_frames_exclude_each_other() -> None:
    bust = compose(STYLE, person("a girl, children"), "full body").positive
    assert "full body, wide shot" in bust and "upper body" not in bust
    assert "upper body" in compose(STYLE, person("a girl, children"), "none").positive
    assert set(FRAMES) == {"close-up", "upper body", "full body", "none"}
    with pytest.raises(RecordError, match="no frame 'portrait'"):
        compose(STYLE, None, "portrait")


def test_no_repeats() -> None:
    style = replace(STYLE, prompt="Red Dress, (roses:1.2), roses, solo")
    words = compose(style, person("a beautiful woman", "red_dress"), extra="masterpiece")
    said = [re.sub(r"[()]|:[\d.]+", "", piece).lower() for piece in pieces(words.positive)]
    assert len(said) == len(set(said))
    assert said.count("roses") == said.count("masterpiece") == said.count("solo") == 1
    assert "red dress" not in said  # said by the tag before


def test_contradictions_the_user_wins_then_the_style() -> None:
    style = replace(STYLE, prompt="short red hair, beach")
    tagged = person("a beautiful woman", "long hair", "black hair", "freckles", "smile")
    words = compose(style, tagged).positive
    assert "short red hair" in words and "freckles" in words
    assert "long hair" not in words and "black hair" not in words
    own = compose(style, tagged, extra="(blonde hair:1.3), serious").positive
    assert own.endswith("(blonde hair:1.3), serious")
    assert "red hair" not in own and "black hair" not in own and ", smile" not in own
    # a long piece says more than its hair and stays
    style = replace(STYLE, prompt="dancing on a table in front of a crowd with red hair")
    assert "dancing" in compose(style, tagged, extra="black hair").positive


def test_the_users_words_stay_as_they_are() -> None:
    words = compose(
        STYLE, person("a boy, children"), extra="a Girl, (sun:1.5),  her dog\n", extra_negative=" cats, (dogs:2)"
    )
    assert words.positive.endswith(", a Girl, (sun:1.5),  her dog")
    assert words.negative.endswith(", cats, (dogs:2)")


def test_brackets_of_tags_are_literal_and_lora_words_untouched() -> None:
    style = replace(STYLE, lora_words="deer_girl, girl with antlers")
    words = compose(style, person("a boy, children", "saber (fate)"), with_lora=True).positive
    assert r"saber \(fate\)" in words
    assert "deer_girl, girl with antlers" in words
    assert "antlers" not in compose(style, person("a boy, children")).positive


def test_nobody_in_particular() -> None:
    words = compose(STYLE, None)
    assert words.positive.startswith("a woman, red dress, a woman in her garden")
    assert "<fcsks>" not in words.positive
    plain = compose(Style(id="x", name="x", prompt="beach"), None, "none")
    assert plain.positive.startswith("beach, raw photo")


def test_a_style_without_clothes_for_somebody_says_so() -> None:
    words = compose(replace(STYLE, outfit={"woman": "evening gown"}), person("a girl, children"))
    assert "gown" not in words.positive
    assert words.notes == ("this style has no outfit for a girl: its general prompt alone is used",)
    assert compose(STYLE, person("a girl, children")).notes == ()


def test_pieces() -> None:
    assert pieces("a, (b, c:1.2), d\ne, , f\\(, g") == ["a", "(b, c:1.2)", "d", "e", "f\\(", "g"]
    assert pieces("a), b, (c, d") == ["a)", "b", "(c, d"]
    assert pieces("") == []


@pytest.fixture(scope="module")
def count_tokens(root: Path):
    """CLIP's tokens of a prompt, from the tokenizer that ComfyUI carries."""
    folder = root / ".host" / "ComfyUI-0.3.75" / "comfy" / "sd1_tokenizer"
    if not folder.is_dir():
        pytest.skip(f"ComfyUI's tokenizer is absent ({folder}); scripts/comfy_host.py setup unpacks it")
    tokenizer = pytest.importorskip("transformers").CLIPTokenizer.from_pretrained(folder)

    def count(text: str) -> int:
        unweighted = re.sub(r"\(([^()]*?)(?::[\d.]+)?\)", r"\1", text)
        return len(tokenizer(unweighted)["input_ids"]) - 2  # begin and end

    return count


def test_every_style_fits_one_window_for_everybody(root: Path, count_tokens) -> None:
    """All styles for all six kinds of people in all frames; the counts stand as a table in test_output/."""
    rows, longest = [], 0
    for path in sorted((root / "styles").glob("*.json")):
        if path.stem == "schema":
            continue
        style, counts = load_style(path), []
        for phrase in PEOPLE:
            for frame in FRAMES:
                words = compose(style, person(phrase), frame, with_lora=True)
                both = count_tokens(words.positive), count_tokens(words.negative)
                assert max(both) <= 75, f"{path.stem}, {phrase}, {frame}: {both} {words.positive}"
                counts += [both] if frame == "upper body" else []
        longest = max(longest, *(max(both) for both in counts))
        rows.append(f"| {path.stem} | " + " | ".join(f"{a} + {b}" for a, b in counts) + " |")
    assert longest > 50  # the tokenizer really counted
    assert len(rows) >= 60 and all(row.count("|") == len(PEOPLE) + 2 for row in rows)
    head = ["| style | " + " | ".join(PEOPLE) + " |", "| --- " * (len(PEOPLE) + 1) + "|"]
    table = root / "test_output" / "style_tokens.md"
    table.parent.mkdir(exist_ok=True)
    table.write_text("\n".join([*head, *rows]) + "\n", encoding="utf-8")


def test_shipped_styles_never_name_the_wrong_people(root: Path) -> None:
    wrong = {
        "a handsome man": r"girl|woman|she|her|dress|gown|skirt|lipstick",
        "a beautiful woman": r"boy|man|he|his|beard",
        "a boy, children": r"girl|woman|man|she|her|dress|gown|skirt",
        "a girl, children": r"boy|woman|man|he|his|beard",
    }
    for path in sorted((root / "styles").glob("*.json")):
        if path.stem == "schema":
            continue
        style = load_style(path)
        for phrase, words in wrong.items():
            said = compose(style, person(phrase)).positive.replace(phrase, "")
            assert not re.search(rf"\b(?:{words})\b", said), f"{path.stem}, {phrase}: {said}"


# --- several styles, and pieces left out ---


NIGHT = Style(
    id="night",
    name="Night",
    prompt="neon street, serious",
    outfit={"woman": "silver coat", "man": "silver suit"},
    lora="night.safetensors",
    lora_words="nightlook",
    negative="daylight, garden",
)


def test_a_blended_style_adds_its_words_at_its_weight() -> None:
    """Clothes of the wearer, no contradiction of the first style (its smile stays), LoRA words only with the LoRA."""
    words = compose(STYLE, person("a handsome man"), blends=[Blend(NIGHT, 0.4)])
    assert "red jacket, a man in his garden, roses, gentle smile" in words.positive
    assert "(silver suit:0.4), (neon street:0.4)" in words.positive
    assert "serious" not in words.positive and "nightlook" not in words.positive
    assert "daylight" in words.negative
    assert "garden" not in pieces(words.negative), "the first style asks for it"
    assert "(nightlook:0.4)" in compose(STYLE, blends=[Blend(NIGHT, 0.4, True)]).positive
    assert "silver coat, neon street" in compose(STYLE, person("a mature woman"), blends=[Blend(NIGHT, 1)]).positive


def test_blends_are_read_in_every_way_people_write_them() -> None:
    assert parse_blend("armor 0.4\n kimono: .6, hanfu\n\n") == [("armor", 0.4), ("kimono", 0.6), ("hanfu", 0.5)]
    assert parse_blend("wedding_dress_2 0.3; west_cowboy=1") == [("wedding_dress_2", 0.3), ("west_cowboy", 1.0)]
    assert parse_blend("") == [] and parse_blend("armor 0") == []


@pytest.mark.parametrize(
    ("text", "message"), [("armor 3", "the weight 3"), ("armor, armor 0.2", "twice"), ("0.4", "names no style")]
)
def test_a_wrong_blend_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        parse_blend(text)


def test_pieces_can_be_left_out() -> None:
    words = compose(STYLE, person("a beautiful woman"), leave_out="Roses, masterpiece, best_quality, unicorn")
    assert (
        "roses" not in words.positive and "masterpiece" not in words.positive and "best quality" not in words.positive
    )
    assert "gentle smile" in words.positive
    assert [note for note in words.notes if "leave_out" in note] == ["leave_out: 'unicorn' is no piece of the prompts"]


def test_pieces_of_both_prompts_can_be_edited() -> None:
    who = person("a beautiful woman")
    plain = compose(STYLE, who)
    edits = "roses = white lilies, red dress=(blue dress:1.1), beard, blurry = hazy, nothing = something"
    words = compose(STYLE, who, leave_out=edits)
    assert words.positive == plain.positive.replace("roses", "white lilies").replace("red dress", "(blue dress:1.1)")
    assert words.negative == plain.negative.replace(", beard", "").replace("blurry", "hazy")
    assert [note for note in words.notes if "leave_out" in note] == ["leave_out: 'nothing' is no piece of the prompts"]


def test_every_piece_can_be_switched_off() -> None:
    who = person("a handsome man", "short hair", "no glasses")
    plain = compose(STYLE, who, extra_negative="")
    bare = compose(STYLE, who, leave_out=f"{plain.positive}, {plain.negative}")
    assert (bare.positive, bare.negative, bare.notes) == ("", "", ())


def test_nobody_switches_off_what_keeps_children_decent() -> None:
    child = person("a girl, children")
    words = compose(STYLE, child, leave_out="nsfw, nude, cleavage, revealing clothes = rags, blurry")
    assert {"nsfw", "nude", "cleavage", "revealing clothes"} <= set(pieces(words.negative))
    assert "blurry" not in pieces(words.negative)
    asked = compose(STYLE, child, extra="revealing clothes")
    assert "revealing clothes" in pieces(asked.negative)


def test_somebody_without_photos_reads_the_same_as_the_person() -> None:
    who = person("a mature man", "beard")
    assert compose(STYLE, Sitter("anna", who.attributes)) == compose(STYLE, who)
