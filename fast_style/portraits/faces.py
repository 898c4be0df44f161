"""Faces in pictures, and their codes: two faces are of one person if their codes are near.

Uses dlib and its networks (King 2009, "Dlib-ml"; dlib.net/face_recognition.py.html), an optional
extra that is imported when the first face is looked for.
"""

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fast_style.errors import UserError, check_installed, naming
from fast_style.pictures.images import flatten_on_white, read_picture
from fast_style.pictures.pixels import resize

LONG_SIDE = 1280  # of the picture in which faces are searched
MOST_ENLARGED = 4
CROP, PADDING = 150, 0.25  # as dlib's network was trained
CODE_SIZE = 128
_DETECTION = threading.Lock()  # a detector keeps the picture it works on

Box = tuple[float, float, float, float]  # left, top, right, bottom: shares of width and height


@dataclass(frozen=True, eq=False)
class Face:
    """A face in a picture. crop: (150, 150, 3) uint8, with eyes and nose always in one place."""

    box: Box
    crop: np.ndarray


@dataclass(frozen=True, eq=False)
class Encoder:
    """Gives faces their codes.

    name: codes of encoders of different names cannot be compared. threshold: the largest Euclidean
    distance of two codes of one person. codes: (N, 150, 150, 3) uint8 to (N, 128) float32.
    """

    name: str
    threshold: float
    codes: Callable[[np.ndarray], np.ndarray]


def check_faces_installed() -> None:
    """Raises UserError if the extra is not installed."""
    check_installed("faces need", "portraits", "dlib", "face_recognition_models")


def find_faces(rgb: np.ndarray) -> list[Face]:
    """Returns the faces in a picture, (H, W, 3) uint8, from left to right.

    Finds faces that look at the camera, more or less upright, from a sixteenth of the long side.
    Raises UserError if the extra is not installed.
    """
    height, width = rgb.shape[:2]
    scale = min(LONG_SIDE / max(height, width), MOST_ENLARGED)
    down, across = (max(1, round(side * scale)) for side in (height, width))
    searched = np.ascontiguousarray(resize(rgb, down, across))
    dlib, detector, landmarks, _ = _tools()
    faces = []
    with _DETECTION:
        for found in detector(searched):
            crop = dlib.get_face_chip(searched, landmarks(searched, found), CROP, PADDING)
            left, right = found.left() / across, (found.right() + 1) / across
            faces.append(Face((left, found.top() / down, right, (found.bottom() + 1) / down), crop))
    return sorted(faces, key=lambda face: face.box)


def the_face(path: str) -> Face:
    """Returns the only face in a picture file. Raises UserError if there is none, or several."""
    faces = find_faces(flatten_on_white(read_picture(path)))
    with naming(path):
        if not faces:
            raise UserError("no face is found; it must look at the camera and not be too small")
        if len(faces) > 1:
            raise UserError(f"has {len(faces)} faces; crop it to one")
    return faces[0]


def dlib_encoder() -> Encoder:
    """Returns dlib's encoder, with its published threshold of 0.6."""

    def codes(crops: np.ndarray) -> np.ndarray:
        return np.array(_tools()[-1].compute_face_descriptor(list(crops)), np.float32)

    return Encoder("dlib_face_recognition_resnet_model_v1", 0.6, codes)


@functools.cache
def _tools() -> tuple[Any, Any, Any, Any]:
    """Returns the module dlib, a detector, a model of landmarks, and the network of codes."""
    check_faces_installed()
    import dlib
    import face_recognition_models as models

    # Of the two models of landmarks, the one without restrictions on its use.
    landmarks = dlib.shape_predictor(models.pose_predictor_five_point_model_location())
    network = dlib.face_recognition_model_v1(models.face_recognition_model_location())
    return dlib, dlib.get_frontal_face_detector(), landmarks, network
