"""Learns to draw digits out of noise."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import dmc
from examples.images import digits
from examples.pictures import picture, sheet

PROGRAM = Path(__file__).parent / "diffusion.dm"
STEPS = 3000
FEW = 800
"""So many in tests and pictures."""


@dataclass(frozen=True)
class Result:
    """How far images are, on average, from the nearest image held out, and which digits they are.

    `ratio` is the distance of those drawn over that of those learned from; `shares` are the shares
    of the digits among those drawn, by the nearest image.
    """

    ratio: float
    shares: np.ndarray
    drawn: np.ndarray


def nearest(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each image of x the distance to the nearest of y, and which that is."""
    squares = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T
    return np.sqrt(np.maximum(squares.min(1), 0)), squares.argmin(1)


def main(steps: int = STEPS) -> Result:
    program = dmc.load(PROGRAM)
    data = digits()
    x, new = (2 * images.reshape(-1, 64) - 1 for images in (data.x, data.test_x))
    net = program.Denoiser.init(dmc.key(0), I=64, H=192, K=8, L=3)
    state = program.start(net)
    rng = np.random.default_rng(0)
    for index in range(steps):
        batch = x[rng.integers(0, len(x), 128)]
        key = dmc.fold(dmc.key(1), index)
        _, net, state = program.step(net, state, batch, key, peak=2e-3, total=steps)
    drawn = program.samples[400, 50](program.averaged(net, state), dmc.key(2))
    far, which = nearest(drawn, new)
    usual, _ = nearest(x, new)
    shares = np.bincount(data.test_y[which], minlength=10) / len(drawn)
    return Result(float(far.mean() / usual.mean()), shares, (drawn + 1) / 2)


def draw(result: Result, path: Path) -> None:
    picture(path, lambda axes: sheet(axes, result.drawn[:80], 10, "drawn out of noise"))


if __name__ == "__main__":
    result = main()
    draw(result, Path(__file__).with_name("diffusion.png"))
    print(
        f"{result.ratio:.2f} times as far from images held out as images are; "
        f"every digit at least {100 * result.shares.min():.0f} % of those drawn"
    )
