"""What is said of photos and portraits, as a catalogue: the English text is made here, other languages by key.

The page translates by key and values, from main.json of its language, under our name; whatever is written into texts
and reports keeps the English words.
"""

from __future__ import annotations

# By key; what stands in braces are values. Keys are permanent: translations are looked up by them.
ENGLISH = {
    # photos that are used
    "accepted": "accepted",
    "spare": "usable, but {most} better photos are enough",
    # why a photo cannot be used, and what to do
    "picture_small": "the picture has only {width} x {height} pixels",
    "picture_small_cure": "Use the photo itself, not its icon",
    "no_face": "no face found",
    "no_face_cure": "Use a sharp photo that shows the whole face, best from the front",
    "several": "{people} of similar size, and nothing says which one is meant",
    "several_cure": "Crop the photo to one person, add photos of the person alone, or connect 'reference'",
    "not_the_reference": "the face is not the person of the reference (distance {distance})",
    "not_the_others": "the face is not the person of the other photos (distance {distance})",
    "none_is_the_reference": "none of the {count} faces is the person of the reference (distance {distance})",
    "none_is_the_others": "none of the {count} faces is the person of the other photos (distance {distance})",
    "not_one_person_cure": "Use photos of one person only",
    "equally_reference": "{people} are equally like the reference",
    "equally_others": "{people} are equally like the other photos",
    "equally_cure": "Crop the photo to the person",
    "face_small": "the face is only {pixels} pixels large",
    "face_small_cure": "It needs {least} at least: come closer",
    "hidden": "the face is hidden or hard to make out",
    "hidden_cure": "Nothing should cover eyes, nose and mouth",
    "covered": "the lower face is covered (a mask, a scarf, a hand)",
    "covered_cure": "Use photos that show the mouth and chin",
    "blurred": "the face is blurred (sharpness {sharpness})",
    "blurred_cure": "Use a photo in focus, held still",
    "light": "the face is burnt out, black or without contrast",
    "light_cure": "Use even daylight from the front",
    "turned_away": "the face is turned too far away",
    "turned_away_cure": "Use photos that show both eyes",
    "stranger": "this seems to be another person (distance {distance} to the other photos)",
    "stranger_cure": "Use photos of one person, or connect 'reference' if this is the right one",
    # remarks on photos that are used
    "others_smaller": "others in the picture are much smaller",
    "most_like_reference": "{people}; the one most like the reference was taken",
    "most_like_others": "{people}; the one most like the other photos was taken",
    "turned_upright": "it was turned upright",
    "enlarged": "the face is small ({pixels} pixels) and had to be enlarged {times} times",
    "soft": "a little soft",
    "poor_light": "harsh or poor light on the face",
    "side": "seen from the side",
    "partly_hidden": "the face is partly hidden",
    "before_mouth": "something seems to be before the mouth",
    "eyes_hidden": "dark glasses or reflections hide the eyes",
    "two_people": "the two photos may show two people (distance {distance})",
    "several_people": "the photos seem to show several people: connect 'reference', or use photos of one",
    "duplicate": "nearly the same picture as photo {photo}: another one would teach more",
    # why a portrait cannot be judged
    "portrait_no_face": "no face",
    "portrait_faces": "{count} faces",
    "portrait_face_small": "face too small ({part} of the shorter side, limit {limit})",
    "portrait_face_large": "face too large ({part} of the shorter side, limit {limit})",
}


class Said(str):
    """The English text of a message that remembers its key and values, for whoever speaks another language."""

    key: str
    values: dict[str, str]


def say(key: str, **values: object) -> Said:
    """The message of the catalogue with that key and those values; "people" is made from a value "count".

    Raises KeyError for a key or value that is missing.
    """
    words = {name: str(value) for name, value in values.items()}
    people = "two people" if words.get("count") == "2" else f"{words.get('count')} people"
    said = Said(ENGLISH[key].format_map({"people": people, **words}))
    said.key, said.values = key, words
    return said


def keys_of(*texts: str) -> list[list[object]]:
    """[key, values] of each text that is not empty, ready for JSON; [] where one of them is not of the catalogue."""
    words = [text for text in texts if text]
    said = [[text.key, text.values] for text in words if isinstance(text, Said)]
    return said if len(said) == len(words) else []
