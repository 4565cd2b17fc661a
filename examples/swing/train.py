"""Learns what drives a pendulum from pieces of its path, and follows that from the start."""

from pathlib import Path

import numpy as np

import dmc

PROGRAM = Path(__file__).parent / "swing.dm"
H, LENGTH, PIECE = 0.05, 200, 12
START = np.array([2.0, 0.0])


def main(steps: int = 800) -> float:
    """The mean distance of the learned path from the true one, over its whole length."""
    program = dmc.load(PROGRAM)
    path = np.vstack([START, program.path[LENGTH](START, H)])
    net = program.Field.init(dmc.key(0), H=32)
    opt = program.start(net)
    rng = np.random.default_rng(0)
    pieces = np.arange(1, PIECE + 1)
    for step in range(steps):
        first = rng.integers(0, LENGTH - PIECE, 32)
        rate = 1e-2 * 0.5 * (1.0 + np.cos(np.pi * step / steps))
        seen = path[first[:, None] + pieces]
        _, net, opt = program.step(net, opt, path[first], seen, H, rate)
    learned = program.learned_path[LENGTH](net, START, H)
    return float(np.linalg.norm(learned - path[1:], axis=1).mean())


if __name__ == "__main__":
    print(f"mean distance {main():.3f} over twenty swings")
