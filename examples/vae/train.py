"""Learns to draw digits from sixteen random numbers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import dmc
from examples.images import digits
from examples.pictures import picture, sheet

PROGRAM = Path(__file__).parent / "vae.dm"
STEPS = 2000
FEW = 400
"""So many in tests and pictures."""


@dataclass(frozen=True)
class Result:
    """Nats an image held out, what pixels that know only their mean need, and pictures.

    Both without what pixels need that are grey: as much as a coin that falls so.
    """

    nats: float
    of_means: float
    drawn: np.ndarray
    images: np.ndarray
    again: np.ndarray


def entropy(x: np.ndarray, p: np.ndarray) -> float:
    """Nats that images x need by the probabilities p, on average."""
    return -float((x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1).mean())


def main(steps: int = STEPS) -> Result:
    program = dmc.load(PROGRAM)
    data = digits()
    x, new = data.x.reshape(-1, 64), data.test_x.reshape(-1, 64)
    net = program.VAE.init(dmc.key(0), I=64, H=128, Z=16)
    opt = program.start(net)
    rng = np.random.default_rng(0)
    for index in range(steps):
        batch = x[rng.integers(0, len(x), 128)]
        key = dmc.fold(dmc.key(1), index)
        _, net, opt = program.step(net, opt, batch, key, peak=3e-3, total=steps)
    nats = float(np.mean([program.loss(net, new, dmc.fold(dmc.key(2), i)) for i in range(10)]))
    grey = entropy(new, np.clip(new, 1e-6, 1 - 1e-6))
    of_means = entropy(new, np.clip(x.mean(axis=0), 1e-3, 1 - 1e-3)) - grey
    drawn, again = program.samples[40](net, dmc.key(3)), program.again(net, new[:20])
    return Result(nats - grey, of_means, drawn, new[:20], again)


def draw(result: Result, path: Path) -> None:
    pairs = np.concatenate([result.images.reshape(4, 5, 64), result.again.reshape(4, 5, 64)], 1)
    picture(
        path,
        lambda axes: sheet(axes, pairs, 10, "images held out, and again from their codes"),
        lambda axes: sheet(axes, result.drawn, 10, "drawn"),
    )


if __name__ == "__main__":
    result = main()
    draw(result, Path(__file__).with_name("vae.png"))
    print(f"{result.nats:.1f} nats an image; {result.of_means:.1f} by the mean of each pixel")
