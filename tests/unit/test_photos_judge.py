"""Which face is the person, who is an outlier, which photos are the best: on made-up faces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from facechain.faces.base import Face, Gender
from facechain.photos.captions import caption_of, describe, phrase_of
from facechain.photos.choose import choose_faces
from facechain.photos.consistency import consistency_of, duplicates, outliers
from facechain.photos.judge import MOST_PHOTOS, judge
from facechain.photos.look import Seen
from facechain.photos.occlusion import Openness
from facechain.photos.verdict import Numbers, Rejection

DLIB, ARC = "dlib-resnet-128", "arcface"
RNG = np.random.default_rng(5)


def unit(vector: np.ndarray) -> np.ndarray:
    return (vector / np.linalg.norm(vector)).astype(np.float32)


# Unit vectors of three people at the distances that real ones have in dlib's space: 0.52.
COMMON = unit(RNG.normal(size=128))
PEOPLE = {name: unit(COMMON + 0.42 * unit(RNG.normal(size=128))) for name in ("anna", "bea", "cleo")}


def vector_of(who: str, spread: float = 0.12) -> np.ndarray:
    return unit(PEOPLE[who] + spread * unit(RNG.normal(size=128)))


def face(who: str = "anna", side: float = 160.0, at: float = 200.0, **changes: object) -> Face:
    box = np.array([at - side / 2, at - side / 2, at + side / 2, at + side / 2], np.float32)
    mesh = np.zeros((468, 3), np.float32)
    made = Face(box, 0.95, np.zeros((5, 2), np.float32), mesh, 0.0, 0.0, 0.0, sharpness=0.5)
    made = replace(made, embedding=vector_of(who), embedder=DLIB, age=30.0, gender="woman", gender_score=0.9)
    return replace(made, **changes)  # type: ignore[arg-type]


def seen(
    *faces: Face,
    exposure: float = 0.9,
    turns: int = 0,
    shape: tuple[int, int] = (600, 800),
    openness: Openness = Openness(1.0, 1.0),  # noqa: B008 - frozen
) -> Seen:
    ordered = sorted(faces, key=lambda f: -f.area)
    signature = RNG.normal(size=(24, 24)).astype(np.float32)
    exposures, hidden = [exposure] * len(faces), [openness] * len(faces)
    return Seen(turns, ordered, exposures, np.zeros((192, 256, 3), np.uint8), 0.32, signature, shape, hidden)


def statuses(photos: list[Seen], reference: Face | None = None, size: int = 512) -> list[str]:
    names = [f"{i}.jpg" for i in range(len(photos))]
    return [j.verdict.status for j in judge(photos, names, size, DLIB, reference)]


def test_the_made_up_people_are_as_far_apart_as_real_ones() -> None:
    apart = np.linalg.norm(PEOPLE["anna"] - PEOPLE["bea"])
    assert 0.45 < apart < 0.65
    assert np.linalg.norm(vector_of("anna") - vector_of("anna")) < 0.25


def test_one_photo_is_enough() -> None:
    judged = judge([seen(face())], ["a.jpg"], 512, DLIB)[0]
    assert judged.verdict.accepted and judged.verdict.best
    assert judged.verdict.numbers and judged.verdict.numbers.consistency is None


@pytest.mark.parametrize(
    ("photo", "words"),
    [
        (seen(), "no face"),
        (seen(shape=(1, 1)), "1 x 1"),
        (seen(face(side=30)), "only 30 pixels"),
        (seen(face(sharpness=0.05)), "blurred"),
        (seen(face(score=0.55)), "hidden"),
        (seen(face(), exposure=0.05), "burnt out"),
        (seen(face(yaw=72.0)), "turned too far"),
        (seen(face(), openness=Openness(0.05, 1.0)), "lower face is covered"),
        (seen(face(), face("bea", at=500)), "two people"),
        (seen(face(), face("bea", at=500), face("cleo", at=350)), "3 people"),
    ],
)
def test_each_flaw_has_its_reason_and_remedy(photo: Seen, words: str) -> None:
    verdict = judge([photo], ["a.jpg"], 512, DLIB)[0].verdict
    assert verdict.status == "rejected" and words in verdict.reason and verdict.remedy
    assert verdict.text.endswith(".") and verdict.as_dict()["accepted"] is False


def test_small_flaws_are_noted_and_not_fatal() -> None:
    photo = seen(face(side=70, sharpness=0.2, yaw=55.0), exposure=0.3, turns=1, openness=Openness(0.3, 0.0))
    verdict = judge([photo], ["a.jpg"], 512, DLIB)[0].verdict
    assert verdict.accepted and verdict.turned == 90
    for words in ("70 pixels", "soft", "light", "side", "turned upright", "mouth", "glasses"):
        assert any(words in note for note in verdict.notes), words


def test_a_much_larger_face_is_the_person_and_four_times_is_the_limit() -> None:
    assert statuses([seen(face(side=200), face("bea", side=99, at=500))]) == ["accepted"]
    assert statuses([seen(face(side=200), face("bea", side=102, at=500))]) == ["rejected"]


def test_the_other_photos_say_who_is_meant_in_a_group() -> None:
    group = seen(face("bea", side=180), face("anna", side=150, at=500))
    judged = judge([seen(face("anna")), seen(face("anna")), group], ["a", "b", "c"], 512, DLIB)
    assert [j.verdict.status for j in judged] == ["accepted"] * 3
    assert judged[2].face is group.faces[1]
    assert any("most like the other photos" in note for note in judged[2].verdict.notes)


def test_group_photos_alone_show_who_recurs() -> None:
    groups = [
        seen(face("anna", side=150), face("bea", side=160, at=500)),
        seen(face("cleo", side=160), face("anna", side=150, at=500)),
        seen(face("anna", side=150), face("bea", side=140, at=500)),
    ]
    judged = judge(groups, ["a", "b", "c"], 512, DLIB)
    assert [j.verdict.accepted for j in judged] == [True] * 3
    assert all(j.face is not None and np.linalg.norm(j.face.embedding - PEOPLE["anna"]) < 0.3 for j in judged)
    couple = [seen(face("anna", side=150), face("bea", side=160, at=500)) for _ in range(3)]
    assert statuses(couple) == ["rejected"] * 3  # both recur: nobody can tell


def test_the_reference_decides() -> None:
    photos = [seen(face("anna"), face("bea", at=500)), seen(face("bea")), seen(face("anna")), seen()]
    assert statuses(photos, face("bea")) == ["accepted", "accepted", "rejected", "rejected"]


def test_two_people_who_look_alike_are_not_guessed() -> None:
    twin = unit(PEOPLE["anna"] + 0.01 * RNG.normal(size=128) / 11)
    faces = [face(side=100, embedding=twin), face(side=99, at=500, embedding=PEOPLE["anna"])]
    pick = choose_faces([faces], face(embedding=PEOPLE["anna"]), DLIB)[0]
    assert isinstance(pick, Rejection) and "equally" in pick.reason


@pytest.mark.parametrize("count", [3, 4, 5, 12])
def test_another_person_among_photos_is_found(count: int) -> None:
    who = ["bea", *["anna"] * (count - 1)]
    assert statuses([seen(face(w)) for w in who]) == ["rejected", *["accepted"] * (count - 1)]


def test_two_strangers_among_seven_are_both_found() -> None:
    who = ["anna", "bea", "anna", "anna", "bea", "anna", "anna"]
    rejected = [s == "rejected" for s in statuses([seen(face(w)) for w in who])]
    assert rejected == [w == "bea" for w in who]


def test_five_strangers_among_eleven_are_found_and_an_even_mixture_is_told() -> None:
    who = ["anna", "bea", "cleo", "anna", "bea", "anna", "anna", "cleo", "anna", "bea", "anna"]
    assert [s == "rejected" for s in statuses([seen(face(w)) for w in who])] == [w != "anna" for w in who]
    judged = judge([seen(face(w)) for w in ("anna", "bea", "cleo") * 3], list("abcdefghi"), 512, DLIB)
    assert all(any("several people" in note for note in j.verdict.notes) for j in judged)
    alone = judge([seen(face("anna")) for _ in range(3)], list("abc"), 512, DLIB)
    assert not any(j.verdict.notes for j in alone)


def test_hidden_faces_do_not_excuse_a_stranger() -> None:
    shades = Openness(1.0, 0.0)
    odd = [seen(face(embedding=vector_of("anna", 0.3)), openness=shades) for _ in range(3)]
    stranger = face(embedding=unit(PEOPLE["anna"] + 0.75 * (PEOPLE["bea"] - PEOPLE["anna"])))
    photos = [*odd, *(seen(face("anna")) for _ in range(4)), seen(stranger), seen(face("cleo"), openness=shades)]
    assert statuses(photos) == ["accepted"] * 7 + ["rejected"] * 2


def test_nobody_is_thrown_out_of_a_varied_but_honest_set() -> None:
    for _ in range(50):
        vectors = np.stack([vector_of("anna", 0.2) for _ in range(6)])
        assert outliers(vectors, DLIB) == []
    # ArcFace's scale: the same person at about 1.0, strangers at about 1.38
    base = unit(RNG.normal(size=512))
    same = np.stack([unit(base + unit(RNG.normal(size=512))) for _ in range(5)])
    assert outliers(same, ARC) == []
    assert outliers(np.concatenate([same, unit(RNG.normal(size=512))[None]]), ARC) == [5]


def test_two_photos_of_two_people_get_a_note() -> None:
    judged = judge([seen(face("anna")), seen(face("bea"))], ["a", "b"], 512, DLIB)
    assert all(any("two people" in n for n in j.verdict.notes) for j in judged)


def test_consistency_falls_with_distance() -> None:
    values = [consistency_of(d, DLIB) for d in (0.1, 0.25, 0.35, 0.5)]
    assert values == sorted(values, reverse=True) and values[0] > 0.9 and values[1] > 0.5 and values[-1] == 0


def test_near_duplicates_are_flagged() -> None:
    first = seen(face())
    again = replace(seen(face()), signature=first.signature + np.float32(0.01))
    judged = judge([seen(face()), first, again], ["a", "b", "c"], 512, DLIB)
    assert [any("same picture as photo 2" in n for n in j.verdict.notes) for j in judged] == [False, False, True]
    assert duplicates([first.signature] * 3) == {1: 0, 2: 0}


def test_the_best_fifteen_of_two_hundred() -> None:
    photos = [seen(face(sharpness=0.2 + 0.001 * i)) for i in range(200)]
    verdicts = [j.verdict for j in judge(photos, [str(i) for i in range(200)], 512, DLIB)]
    assert sum(v.accepted for v in verdicts) == MOST_PHOTOS
    assert sum(v.status == "spare" for v in verdicts) == 200 - MOST_PHOTOS
    assert sum(v.best for v in verdicts) == 1
    ranks = [v.numbers.rank for v in verdicts if v.accepted and v.numbers]
    assert min(ranks) >= max(v.numbers.rank for v in verdicts if not v.accepted and v.numbers)


def test_the_best_photo_is_sharp_frontal_and_alike() -> None:
    photos = [seen(face(yaw=40.0)), seen(face()), seen(face(sharpness=0.2)), seen(face(side=60))]
    photos.append(seen(face(), openness=Openness(1.0, 0.0)))
    judged = judge(photos, list("abcde"), 512, DLIB)
    assert [j.verdict.best for j in judged] == [False, True, False, False, False]


def test_larger_crops_ask_for_larger_faces() -> None:
    small, large = (judge([seen(face(side=150))], ["a"], size, DLIB)[0].verdict.numbers for size in (512, 1024))
    assert small and large and small.size == 1.0 and 0.5 < large.size < 0.6


def test_quality_is_pulled_down_by_its_worst_part() -> None:
    good = Numbers(200, 1.0, 0.9, 1.0, 0.9, 0.95)
    assert good.quality > 0.9 and replace(good, sharpness=0.1).quality < 0.6 and replace(good, exposure=0.0).rank == 0


@pytest.mark.parametrize(
    ("gender", "age", "phrase"),
    [
        ("man", 8.0, "a boy, children"),
        ("woman", 9.9, "a girl, children"),
        ("woman", 10.0, "a beautiful woman"),
        ("man", 39.9, "a handsome man"),
        ("man", 40.0, "a mature man"),
        ("woman", 77.0, "a mature woman"),
    ],
)
def test_phrases(gender: Gender, age: float, phrase: str) -> None:
    assert phrase_of(gender, age) == phrase


def test_all_photos_vote_on_age_and_gender() -> None:
    faces = [face(age=30.0), face(age=34.0), face(age=70.0, gender="man", gender_score=0.6)]
    found = describe(faces, [0.9, 0.9, 0.9])
    assert (found.gender, found.age, found.phrase) == ("woman", 34.0, "a beautiful woman")
    assert describe(faces, [0.3, 0.3, 0.9]).gender == "woman"  # unsure votes count little
    assert describe(faces, [1, 1, 1], "man", 5.0).phrase == "a boy, children"


def test_a_child_needs_three_quarters_of_the_photos() -> None:
    young, older = face(age=8.0), face(age=14.0)
    assert describe([young, young, young, older], [1, 1, 1, 1]).phrase == "a girl, children"
    assert describe([young, young, older], [1, 1, 1]).age == 14.0
    assert describe([young, older, older], [1, 1, 1]).phrase == "a beautiful woman"
    assert describe([young, young, older], [1, 1, 0.1]).phrase == "a girl, children"  # a bad photo hardly counts


def test_captions_begin_with_the_trigger() -> None:
    about = describe([face()], [1.0])
    assert caption_of(about) == "<fcsks>, a beautiful woman"
    assert caption_of(about, " my  aunt\n") == "<fcsks>, my aunt"
    assert caption_of(about, "portrait of <fcsks>") == "portrait of <fcsks>"
