"""The pairs of benchmarks/fusion.py: a person, and a picture whose face becomes theirs.

The fusion's constants were chosen on PAIRS. HELD_OUT shares no picture with them, and was run when the constants stood:
people that PAIRS does not know, each of one photo or two, and the two people of four photos, on other pictures. Nobody
chose among them by result: the pictures are every fourth of those that PAIRS leaves, by name, and all of men; the
people take turns.
"""

from __future__ import annotations

import itertools

# person: (pictures, which face counted from the left). "@" names a photo that a PyPI package carries.
PEOPLE = {
    "astronaut": (["@astronaut"], 0),
    "man": ([f"people/man/pose{n}.png" for n in (1, 2, 3, 4)], 0),
    "man, 1 photo": (["people/man/portrait.png"], 0),
    "woman": ([f"people/woman/pose{n}.png" for n in (1, 2, 3, 4)], 0),
    "woman, 1 photo": (["people/woman/portrait.png"], 0),
    "group 1, eyes shut": (["@group"], 0),
    "group 3, head down": (["@group"], 2),
    "template's woman": (["templates/1.jpg", "templates/2.jpg"], 0),
    "couple's woman": (["templates/5.jpg"], 1),
    "couple's man": (["templates/5.jpg"], 0),
    "group 2": (["@group"], 1),
    "group 4": (["@group"], 3),
    "group 5, side face": (["@group"], 4),
    "group 6": (["@group"], 5),
}
GOAL = range(3, 15)  # of PAIRS: people of several photos or one, faces that look at the camera
COVERED = {"Fashion_glasses"}  # sunglasses hide what is compared
PAIRS = [
    ("astronaut", "styles_preview/Working_suit.jpg"),
    ("astronaut", "styles_preview/European_fields.jpg"),
    ("astronaut", "styles_preview/Flowers.jpg"),
    ("man", "styles_preview/Gentleman.jpg"),
    ("man", "styles_preview/Men_suit.jpg"),
    ("man", "templates/4.jpg"),
    ("man, 1 photo", "styles_preview/Soccer.jpg"),
    ("man, 1 photo", "styles_preview/Cybernetics_punk.jpg"),
    ("woman", "styles_preview/Hong_Kong_night_style.jpg"),
    ("woman", "styles_preview/Casual_Lifestyle.jpg"),
    ("woman", "templates/3.jpg"),
    ("woman", "styles_preview/Wizard_of_Oz.jpg"),
    ("woman", "styles_preview/Fashion_glasses.jpg"),
    ("woman, 1 photo", "styles_preview/Armor.jpg"),
    ("woman, 1 photo", "styles_preview/Street_style.jpg"),
    ("group 1, eyes shut", "styles_preview/Model_style.jpg"),
    ("group 3, head down", "people/man/pose4.png"),
    ("astronaut", "@group"),
]

_FIRST = [
    "Autumn_populus",
    "Cheongsam",
    "Chinese_traditional_gorgeous_suit",
    "Cool_tones",
    "DreamyOcean",
    "Embroidery",
    "GuoFeng",
    "Innocent_Girl_in_White_Dress",
    "Lolita",
    "Mechnical",
    "Ocean_Summer_vibe",
    "Princess_style",
    "Roaming_Astronaut",
    "T-shirt",
    "Underwater",
    "Wild_west",
    "sdxl_fields",
]
_THIRD = [
    "Bleak_autumn",
    "Chinese_New_Year",
    "Christmas",
    "Deer_girl",
    "Duobaan",
    "Flame_red_style",
    "Kimono",
    "Maid",
    "Mongolian",
    "Pixy_Girl",
    "Redstyle",
    "Science_fiction",
    "Traditional_chinese_style",
    "Wedding_dress_2",
    "ZangZu",
]
_OF_MEN = ["Cowboy", "Hiphop", "West_cowboy"]
_NEW_WOMEN = ("template's woman", "couple's woman", "group 2", "group 6")
_NEW_MEN = ("couple's man", "group 4", "group 5, side face")


def _turns(people: tuple[str, ...], pictures: list[str]) -> list[tuple[str, str]]:
    return [
        (person, f"styles_preview/{name}.jpg") for person, name in zip(itertools.cycle(people), pictures, strict=False)
    ]


HELD_OUT = {
    "new people on new pictures": _turns(_NEW_WOMEN, _FIRST) + _turns(_NEW_MEN, _OF_MEN),
    "known people of four photos on new pictures": _turns(("woman",), _THIRD) + _turns(("man",), _OF_MEN),
}
