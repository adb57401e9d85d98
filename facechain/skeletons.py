"""OpenPose skeletons of the people in a picture, from BlazePose bodies and face meshes.

BlazePose reads a square that holds the whole standing body, so of a portrait it sees a few
dozen pixels: the face mesh says better where nose, eyes and ears are.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from .bodies import Body, body_of, find_bodies
from .faces.base import Face, FaceEngine

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
_OWN = 0.6  # heights of the face between its nose and its body's
_STRANGER = 1.5  # heights of the face; a body whose nose is farther from every face is somebody else


def find_skeletons(image: np.ndarray, engine: FaceEngine) -> list[np.ndarray]:
    """[18, 3] float32 for each person in uint8 RGB [H, W, 3], from left to right; see facechain/pose.py.

    People of whom only the face is found get a skeleton of the head. A point is seen where it lies
    inside the picture and the networks are sure of it. [] where there is nobody.
    """
    image, factor = _reduced(image)
    faces = engine.analyze([image], embed=False)[0]
    detected = find_bodies(image)
    people = [_person(image, face, faces, detected) for face in faces]
    people += [_from_body(body) for body in detected if all(_apart(body, face) > _STRANGER for face in faces)]
    for points in people:
        points[:, 2] *= _inside(points, image.shape[:2])
        points[:, :2] = (points[:, :2] + 0.5) * factor - 0.5
    people = [points for points in people if points[:, 2].any()]
    return sorted(people, key=lambda points: float(points[points[:, 2] > 0, 0].mean()))


def _reduced(image: np.ndarray) -> tuple[np.ndarray, int]:
    """The picture, made smaller by a whole factor where it is large, and the factor: the networks read 256 pixels."""
    factor = max(1, max(image.shape[:2]) // _WORKING_SIDE)
    return (np.asarray(Image.fromarray(image).reduce(factor)) if factor > 1 else image), factor


def _person(image: np.ndarray, face: Face, faces: list[Face], detected: list[Body]) -> np.ndarray:
    """The skeleton of the person with this face; of the head alone where no body is found."""
    body = body_of(image, face, faces)
    if body is None:  # somebody lying, perhaps: the detector turns its square with the body
        body = next((b for b in detected if _apart(b, face) < _OWN), None)
    points = np.zeros((18, 3), np.float32) if body is None else _from_body(body)
    return _with_head(points, face)


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
