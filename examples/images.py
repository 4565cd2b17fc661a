"""Scikit-learn's handwritten digits as images, and pictures of what examples made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

from examples.digits.data import held_out

SIDE = 8


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


def sheet(axes: Axes, images: np.ndarray, columns: int, title: str = "") -> None:
    """Images of 64 pixels side by side, in rows of `columns`."""
    apart = np.pad(images.reshape(-1, SIDE, SIDE), ((0, 0), (1, 1), (1, 1)))
    table = apart.reshape(-1, columns, SIDE + 2, SIDE + 2).swapaxes(1, 2)
    axes.imshow(table.reshape(-1, columns * (SIDE + 2)), cmap="gray_r", vmin=0, vmax=1)
    axes.set_axis_off()
    axes.set_title(title)


def picture(path: Path, *panels: Callable[[Axes], object]) -> None:
    """A PNG with panels side by side, each drawn by a function."""
    figure = Figure(figsize=(4.2 * len(panels), 3.6), layout="constrained")
    for place, panel in enumerate(panels, start=1):
        panel(figure.add_subplot(1, len(panels), place))
    figure.savefig(path, dpi=80)
