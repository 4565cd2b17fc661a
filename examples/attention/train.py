"""Trains a small transformer to write sequences of digits backwards."""

from pathlib import Path

import dmc
from examples.pictures import picture

PROGRAM = Path(__file__).parent / "attention.dm"
STEPS = 100


def main(steps: int = STEPS, path: Path | None = None) -> float:
    """The fraction of digits that are right in the last ten batches."""
    program = dmc.load(PROGRAM)
    net = program.Reverser.init(dmc.key(0), V=10, T=12, D=32, L=2)
    opt = program.start(net)
    step = program.step[32]
    right: list[float] = []
    for index in range(steps):
        key = dmc.fold(dmc.key(1), index)
        loss, hits, net, opt = step(net, opt, key, peak=3e-3, total=steps)
        right.append(float(hits))
        if index % 25 == 24:
            print(f"step {index + 1}: loss {loss:.3f}, {100 * hits:.1f} % right")
    if path is not None:
        picture(path, lambda axes: axes.plot(right))
    return sum(right[-10:]) / 10


if __name__ == "__main__":
    right = main(path=Path(__file__).with_name("attention.png"))
    print(f"{100 * right:.1f} % of the digits are right")
