"""Scikit-learn's handwritten digits as images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_digits

from examples.digits.data import held_out
from examples.pictures import SIDE


@dataclass(frozen=True)
class Digits:
    """Images f32[N, 8, 8] of pixels from 0 to 1, their digits i32[N], and the same held out."""

    x: np.ndarray
    y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray


def digits() -> Digits:
    """1,438 images to learn from, and a fifth of each class held out."""
    pixels, classes = load_digits(return_X_y=True)
    images = (pixels / 16.0).astype(np.float32).reshape(-1, SIDE, SIDE)
    labels = classes.astype(np.int32)
    test = held_out(labels)
    return Digits(images[~test], labels[~test], images[test], labels[test])
