"""A picture of a run: the loss and whatever else its program reports, over the steps."""

# matplotlib declares its keyword arguments without types
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dmc_runtime.errors import MissingExtraError
from dmc_runtime.files import write
from dmc_runtime.metrics import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HELD_OUT = "validation_"

_PLACES = ("step", "epoch", "seconds")
_WIDE = 20.0
"""The ratio of the largest to the least value from which on an axis is logarithmic."""

_TRAIN_COLOUR, _MEAN_COLOUR, _HELD_OUT_COLOUR = "#c6d4e8", "#24508a", "#c8501e"


def require() -> None:
    """Raises `MissingExtraError` unless matplotlib is installed."""
    _figure_class()


def plot(rows: Sequence[Row], path: Path, title: str = "") -> None:
    """Draws the rows of a run into a PNG, with a panel for each metric."""
    names = panels(rows)
    figure = _figure_class()(figsize=(10.0, 3.2 * ((len(names) + 1) // 2)), layout="constrained")
    for place, name in enumerate(names, start=1):
        axes = figure.add_subplot((len(names) + 1) // 2, min(len(names), 2), place)
        _panel(axes, rows, name)
    if title:
        figure.suptitle(title)
    _save(figure, path)


def panels(rows: Sequence[Row]) -> list[str]:
    """The metrics in the order in which they come; scores of held-out data join their metric."""
    listed = dict.fromkeys(name.removeprefix(HELD_OUT) for row in rows for name in row)
    return [name for name in listed if name not in _PLACES]


def is_wide(values: Sequence[float]) -> bool:
    """Whether values are seen better on a logarithmic axis."""
    return min(values) > 0 and max(values) > _WIDE * min(values)


def plot_rates(rates: Sequence[float], path: Path, title: str = "") -> None:
    """Draws the learning rate of every step into a PNG."""
    figure = _figure_class()(figsize=(7.0, 3.2), layout="constrained")
    axes = figure.add_subplot(1, 1, 1)
    axes.plot(range(len(rates)), rates, color=_MEAN_COLOUR, linewidth=1.5)
    axes.set_title(title, loc="left")
    axes.set_xlabel("step")
    axes.grid(alpha=0.25)
    _save(figure, path)


def plot_memory(
    live: Sequence[int], reverse_from: int | None, budget: int | None, path: Path, title: str = ""
) -> None:
    """Draws the bytes that are live at each point of a program, and the budget, into a PNG.

    The reverse pass begins at the point `reverse_from`.
    """
    figure = _figure_class()(figsize=(7.0, 3.2), layout="constrained")
    axes = figure.add_subplot(1, 1, 1)
    places, mebi = range(len(live)), [count / 2**20 for count in live]
    axes.fill_between(places, mebi, step="post", color=_TRAIN_COLOUR)
    axes.step(places, mebi, where="post", color=_MEAN_COLOUR, linewidth=1.5)
    if reverse_from is not None:
        axes.axvline(reverse_from, color="grey", linewidth=1.0)
        axes.text(reverse_from, 0.0, " reverse", rotation=90, color="grey", va="bottom")
    if budget is not None:
        axes.axhline(budget / 2**20, color=_HELD_OUT_COLOUR, linewidth=1.5, label="budget")
        axes.legend(frameon=False)
    axes.set_title(title, loc="left")
    axes.set_xlabel("point of the program")
    axes.set_ylabel("MiB live in the arena")
    axes.grid(alpha=0.25)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=120, format=path.suffix.removeprefix(".") or "png")
    write(path, drawn.getvalue())


def _panel(axes: Axes, rows: Sequence[Row], name: str) -> None:
    steps = [row["step"] for row in rows if name in row]
    values = [row[name] for row in rows if name in row]
    smooth = len(values) >= 20
    axes.plot(steps, values, color=_TRAIN_COLOUR if smooth else _MEAN_COLOUR, linewidth=1.0)
    if smooth:
        mean = _smooth(values, max(5, len(values) // 40))
        axes.plot(steps, mean, color=_MEAN_COLOUR, linewidth=1.5, label="training")
    held_out = HELD_OUT + name
    if any(held_out in row for row in rows):
        where = [row["step"] for row in rows if held_out in row]
        scores = [row[held_out] for row in rows if held_out in row]
        axes.plot(where, scores, color=_HELD_OUT_COLOUR, linewidth=1.5, label="validation")
        axes.legend(frameon=False)
        values += scores
    if is_wide(values):
        axes.set_yscale("log")
    axes.set_title(name.replace("_", " "), loc="left")
    axes.set_xlabel("step")
    axes.grid(alpha=0.25)


def _smooth(values: Sequence[float], width: int) -> list[float]:
    """The mean over a window of `width` values around each, narrower at the ends."""
    half = width // 2
    windows = (values[max(0, i - half) : i + half + 1] for i in range(len(values)))
    return [sum(window) / len(window) for window in windows]


def _figure_class() -> type[Figure]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "plot", "a plot") from error
    return Figure
