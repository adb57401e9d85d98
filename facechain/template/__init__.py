"""The fixed template: find its faces, cut one out, put the finished crop back."""

from .cut import checked_template, crop_of, faces_in_words, faces_report, find_faces, place_face
from .paste import paste_face
from .preview import numbered_faces
from .record import TemplateFace, Window
from .seating import WAYS, seat_of, seated, seating

__all__ = [
    "WAYS",
    "TemplateFace",
    "Window",
    "checked_template",
    "crop_of",
    "faces_in_words",
    "faces_report",
    "find_faces",
    "numbered_faces",
    "paste_face",
    "place_face",
    "seat_of",
    "seated",
    "seating",
]
