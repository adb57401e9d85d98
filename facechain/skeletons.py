"""OpenPose skeletons of the people in a picture, from BlazePose bodies and face meshes.

BlazePose reads a square that holds the whole standing body, so of a portrait it sees a few
dozen pixels: the face mesh says better where nose, eyes and ears are.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from .bodies import Body, body_of, find_bodies
from .faces.base import Face, FaceEngine
from .pose import Figure
from .wholebody import read_person

# BlazePose's landmark for each of OpenPose's 18 points; the neck has none.
_FROM_BLAZEPOSE = np.array([0, -1, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7])
_NECK, _RIGHT_SHOULDER, _LEFT_SHOULDER = 1, 2, 5
_NOSE, _RIGHT_EYE, _LEFT_EYE, _RIGHT_EAR, _LEFT_EAR = 0, 14, 15, 16, 17
_WORKING_SIDE = 1024  # pixels of the longer side that are left at least of a large picture
_VISIBLE = 0.5  # BlazePose's visibility below which a point is a guess
# BlazePose puts shoulders inside the joint: 0.86 of the width people mark (median of 11 portraits).
_SHOULDERS = 1.12
# MediaPipe's mesh: tip of the nose, corners of the eyes, the cheeks in front of the ears.
_MESH_NOSE, _MESH_EYES, _MESH_CHEEKS = 4, ((33, 133), (263, 362)), (234, 454)
_EARS = 1.12  # from between the cheeks outwards to the ears
_EAR_HIDDEN, _EYE_HIDDEN = 18.0, 60.0  # degrees of yaw from which the far one is not seen
# MediaPipe's mesh at dlib's 68 points: jaw, brows, nose, eyes, outer and inner lips; then the corners and lids of each
# eye, whose mean is the pupil's place. The person's right side first.
_DLIB = (
    *(127, 234, 93, 132, 172, 136, 149, 176, 152, 400, 378, 365, 397, 361, 323, 454, 356),
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),
    *(168, 197, 5, 4, 48, 97, 2, 326, 278),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 321, 314, 17, 84, 91),
    *(78, 82, 13, 312, 308, 317, 14, 87),
)
_PUPILS = ((33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380))
_BODY_HEIGHTS = 8.0  # of the face's height; how tall and wide somebody standing with open arms may be
_OWN = 0.6  # heights of the face between its nose and its body's
_STRANGER = 1.5  # heights of the face; a body whose nose is farther from every face is somebody else


def find_skeletons(image: np.ndarray, engine: FaceEngine) -> list[np.ndarray]:
    """The body of each of find_figures."""
    return [figure.body for figure in find_figures(image, engine)]


def find_figures(
    image: np.ndarray, engine: FaceEngine, whole: Path | None = None, *, gpu: bool = False
) -> list[Figure]:
    """The people in uint8 RGB [H, W, 3], from left to right; see facechain/pose.py. [] where there is nobody.

    People of whom only the face is found get a skeleton of the head. A point is seen where it lies inside the picture
    and the networks are sure of it. whole: DWPose's file, which then says where bodies and hands are; gpu: run it there.
    Raises ModelFileError where that file cannot be used.
    """
    image, factor = _reduced(image)
    faces = engine.analyze([image], embed=False)[0]
    detected = find_bodies(image)
    bodies = [_body(image, face, faces, detected) for face in faces]
    strangers = [body for body in detected if all(_apart(body, face) > _STRANGER for face in faces)]
    people = [
        _figure(image, face, body, whole, gpu)
        for face, body in [*zip(faces, bodies, strict=True), *((None, body) for body in strangers)]
    ]
    people = [_in_picture(figure, image.shape[:2], factor) for figure in people]
    people = [figure for figure in people if figure.body[:, 2].any()]
    return sorted(people, key=lambda figure: float(figure.body[figure.body[:, 2] > 0, 0].mean()))


def face_points(face: Face) -> np.ndarray:
    """The 68 points of dlib and both pupils, from the mesh of the face: [70, 3] float32; [0, 3] without one."""
    if face.mesh is None:
        return np.zeros((0, 3), np.float32)
    places = np.array([face.mesh[list(entry), :2].mean(0) for entry in (*((n,) for n in _DLIB), *_PUPILS)], np.float32)
    return np.column_stack([places, np.ones(len(places), np.float32)])


def _figure(image: np.ndarray, face: Face | None, body: Body | None, whole: Path | None, gpu: bool) -> Figure:
    points = np.zeros((18, 3), np.float32) if body is None else _from_body(body)
    details, hands = np.zeros((0, 3), np.float32), ()
    if whole is not None:
        read = read_person(image, _around(image, face, body), whole, gpu=gpu)
        points, details, hands = read.body, read.face, read.hands
    if face is not None:
        points = _with_head(points, face)
        details = face_points(face) if face.mesh is not None else details
    return Figure(points, details, hands)


def _around(image: np.ndarray, face: Face | None, body: Body | None) -> np.ndarray:
    """[4] x1, y1, x2, y2 in which the whole person lies, as far as the picture shows them."""
    boxes = [body.box] if body is not None else []
    if face is not None:
        across, (x, _) = face.height * _BODY_HEIGHTS, face.center
        boxes += [face.box]
        if body is None:
            boxes += [np.array([x - across / 2, face.box[1], x + across / 2, face.box[1] + across])]
    height, width = image.shape[:2]
    low, high = np.min([box[:2] for box in boxes], axis=0), np.max([box[2:] for box in boxes], axis=0)
    return np.concatenate([np.clip(low, 0, (width, height)), np.clip(high, 0, (width, height))])


def _in_picture(figure: Figure, size: tuple[int, ...], factor: int) -> Figure:
    """The figure in pixels of the unreduced picture, its points outside taken as not seen. size: of the reduced one."""

    def placed(points: np.ndarray) -> np.ndarray:
        points = points.copy()
        points[:, 2] *= _inside(points, size)
        points[:, :2] = (points[:, :2] + 0.5) * factor - 0.5
        return points

    return Figure(placed(figure.body), placed(figure.face), tuple(placed(hand) for hand in figure.hands))


def _reduced(image: np.ndarray) -> tuple[np.ndarray, int]:
    """The picture, made smaller by a whole factor where it is large, and the factor: the networks read 256 pixels."""
    factor = max(1, max(image.shape[:2]) // _WORKING_SIDE)
    return (np.asarray(Image.fromarray(image).reduce(factor)) if factor > 1 else image), factor


def _body(image: np.ndarray, face: Face, faces: list[Face], detected: list[Body]) -> Body | None:
    """The body of the person with this face; None where none is found."""
    body = body_of(image, face, faces)
    if body is None:  # somebody lying, perhaps: the detector turns its square with the body
        body = next((b for b in detected if _apart(b, face) < _OWN), None)
    return body


def _apart(body: Body, face: Face) -> float:
    """Heights of the face between its nose and the body's."""
    return float(np.linalg.norm(body.landmarks[0, :2] - face.points[2])) / max(face.height, 1.0)


def _from_body(body: Body) -> np.ndarray:
    points = np.empty((18, 3), np.float32)
    points[:, :2] = body.landmarks[_FROM_BLAZEPOSE, :2]
    points[:, 2] = body.visibility[_FROM_BLAZEPOSE] >= _VISIBLE
    shoulders = points[[_RIGHT_SHOULDER, _LEFT_SHOULDER]]
    neck = shoulders[:, :2].mean(0)
    points[_NECK] = (*neck, shoulders[:, 2].all())
    points[[_RIGHT_SHOULDER, _LEFT_SHOULDER], :2] = neck + (shoulders[:, :2] - neck) * _SHOULDERS
    return points


def _with_head(points: np.ndarray, face: Face) -> np.ndarray:
    """The skeleton with nose, eyes and ears from the face's mesh."""
    if face.mesh is None:
        return points
    mesh, points = face.mesh[:, :2], points.copy()
    points[_NOSE] = (*mesh[_MESH_NOSE], 1)
    cheeks = mesh[list(_MESH_CHEEKS)]
    ears = cheeks.mean(0) + (cheeks - cheeks.mean(0)) * _EARS
    # yaw > 0: the nose points to image right, where the person's left side is then hidden
    sides = ((_RIGHT_EYE, _RIGHT_EAR, -face.yaw), (_LEFT_EYE, _LEFT_EAR, face.yaw))
    for (eye, ear, away), corners, place in zip(sides, _MESH_EYES, ears, strict=True):
        points[eye] = (*mesh[list(corners)].mean(0), away < _EYE_HIDDEN)
        points[ear] = (*place, away < _EAR_HIDDEN)
    return points


def _inside(points: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    x, y = points[:, 0], points[:, 1]
    return (x >= 0) & (y >= 0) & (x <= size[1] - 1) & (y <= size[0] - 1)
