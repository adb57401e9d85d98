"""What a face is, and what an engine that finds faces must offer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal, Protocol

import numpy as np

Gender = Literal["woman", "man"]


@dataclass(frozen=True, eq=False)
class Face:
    """One face in one picture. All coordinates are pixels of that picture, x right, y down.

    box: [4] float32 x1, y1, x2, y2 around brows, chin and cheeks (not hair).
    score: 0..1, confidence that this is a face.
    points: [5, 2] float32: the eye, eye, nose tip, mouth corner, mouth corner, each pair
        ordered by the person's right side first (image left in an upright frontal photo), as ArcFace has it.
    mesh: [468, 3] float32 MediaPipe face mesh, z in pixels too (smaller is nearer), or None.
    yaw, pitch, roll: degrees. Yaw > 0: the nose points to image right; pitch > 0: up;
        roll > 0: the head is turned clockwise in the picture.
    embedding: [D] float32 of unit length, or None where it was not asked for.
    embedder: id of the network that made the embedding; different ids are never compared.
    age: years, gender and gender_score (0.5..1): None where not asked for.
    sharpness: 0..1, of the face area alone.
    """

    box: np.ndarray
    score: float
    points: np.ndarray
    mesh: np.ndarray | None
    yaw: float
    pitch: float
    roll: float
    sharpness: float = 0.0
    embedding: np.ndarray | None = None
    embedder: str = ""
    age: float | None = None
    gender: Gender | None = None
    gender_score: float | None = None

    @property
    def width(self) -> float:
        return float(self.box[2] - self.box[0])

    @property
    def height(self) -> float:
        return float(self.box[3] - self.box[1])

    @property
    def center(self) -> tuple[float, float]:
        return float(self.box[0] + self.box[2]) / 2, float(self.box[1] + self.box[3]) / 2

    @property
    def area(self) -> float:
        return self.width * self.height


@dataclass(frozen=True)
class EngineInfo:
    """What stands behind an engine, for reports.

    engine, embedder: as FaceEngine has them. provider: what the networks run on ("CPUExecutionProvider").
    licence: a limit that its weights put on use, "" for none. warning: what the user should mend, "" for nothing.
    """

    engine: str
    embedder: str
    provider: str
    licence: str = ""
    warning: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


class FaceEngine(Protocol):
    """Finds and describes faces. Engines are cheap to make and load their networks when first used."""

    @property
    def name(self) -> str:
        """As the node's engine widget has it: "embedded"."""
        ...

    @property
    def embedder(self) -> str:
        """Id of the embedding network. Raises ModelFileError where the engine must look at files that are absent."""
        ...

    def info(self) -> EngineInfo:
        """What the engine runs on and under which licence; loads its networks. Raises ModelFileError."""
        ...

    def analyze(
        self, images: Sequence[np.ndarray], *, embed: bool = True, attributes: bool = False
    ) -> list[list[Face]]:
        """The faces of each picture, largest first.

        images: uint8 RGB [H, W, 3] each, any sizes.
        embed: fill in embedding; attributes: fill in age and gender.
        Raises ModelFileError where a network's file is absent or damaged.
        """
        ...


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Euclidean distance of two unit embeddings [D], 0 (same) to 2."""
    return float(np.linalg.norm(a - b))


def similarity(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine similarity of two unit embeddings [D], -1 to 1."""
    return float(a @ b)
