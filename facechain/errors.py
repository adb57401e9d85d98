"""Errors that a user reads: what is wrong, where, and what to do next."""

from __future__ import annotations


class FaceChainError(Exception):
    """A problem the user can mend.

    message: what is wrong and where ("photo 2 of 5: no face found").
    remedy: what to do next ("use a sharp frontal photo"); shown after the message.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        self.message = message
        self.remedy = remedy
        super().__init__(f"{message}. {remedy}." if remedy else f"{message}.")


class PhotoError(FaceChainError):
    """A photo, or all of them, cannot be used."""


class FaceError(FaceChainError):
    """A picture has no face, or not the number of faces that is needed."""


class ModelFileError(FaceChainError):
    """A model file is absent, damaged or of the wrong kind."""


class UnusableNameError(FaceChainError):
    """A name of a person, style or file that cannot be used."""


class RecordError(FaceChainError):
    """A saved person, style or template record cannot be read or does not fit."""


class TrainingError(FaceChainError):
    """Training cannot start, or had to stop."""
