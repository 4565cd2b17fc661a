"""Learns what drives a pendulum from pieces of its path, and follows that from the start."""

from pathlib import Path

import numpy as np

import dmc
from examples.pictures import lines, picture

PROGRAM = Path(__file__).parent / "swing.dm"
H, LENGTH, PIECE = 0.05, 200, 12
START = np.array([2.0, 0.0])


def main(steps: int = 800, path: Path | None = None) -> float:
    """The mean distance of the learned path from the true one, over its whole length."""
    program = dmc.load(PROGRAM)
    truth = np.vstack([START, program.path[LENGTH](START, H)])
    net = program.Field.init(dmc.key(0), H=32)
    opt = program.start(net)
    rng = np.random.default_rng(0)
    pieces = np.arange(1, PIECE + 1)
    for step in range(steps):
        first = rng.integers(0, LENGTH - PIECE, 32)
        rate = 1e-2 * 0.5 * (1.0 + np.cos(np.pi * step / steps))
        seen = truth[first[:, None] + pieces]
        _, net, opt = program.step(net, opt, truth[first], seen, H, rate)
    learned = program.learned_path[LENGTH](net, START, H)
    if path is not None:
        angles = {"true": truth[1:, 0], "learned": learned[:, 0]}
        picture(path, lambda axes: lines(axes, H * np.arange(LENGTH), angles))
    return float(np.linalg.norm(learned - truth[1:], axis=1).mean())


if __name__ == "__main__":
    print(
        f"mean distance {main(path=Path(__file__).with_name('swing.png')):.3f} over twenty swings"
    )
