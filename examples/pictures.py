"""Pictures of what examples made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

SIDE = 8


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


def lines(
    axes: Axes, x: Sequence[float] | np.ndarray, curves: Mapping[str, np.ndarray], dots: str = ""
) -> None:
    """Curves over x by their names; that named `dots` is drawn as dots."""
    for name, y in curves.items():
        if name == dots:
            axes.plot(x, y, ".", color="grey", markersize=3, label=name)
        else:
            axes.plot(x, y, label=name)
    axes.legend()
