"""Finds the frequency and the friction of a pendulum from noisy angles."""

from pathlib import Path

import numpy as np

import dmc
from examples.pictures import lines, picture

PROGRAM = Path(__file__).parent / "pendulum.dm"
TRUTH = np.array([4.0, 0.15, 2.0, 0.0])
H, STEPS, NOISE = 0.05, 200, 0.05


def main(path: Path | None = None) -> tuple[float, float]:
    """The largest error of the four numbers, before and after."""
    program = dmc.load(PROGRAM)
    true = program.angles[STEPS](TRUTH, H)
    seen = true + NOISE * np.random.default_rng(0).standard_normal(STEPS)
    guess = np.array([3.7, 0.0, 1.8, 0.1])
    found = program.fit(guess, seen, H)
    if path is not None:
        curves = {
            name: program.angles[STEPS](q, H) for name, q in (("guess", guess), ("fit", found))
        }
        picture(
            path, lambda axes: lines(axes, H * np.arange(STEPS), {"seen": seen, **curves}, "seen")
        )
    return float(np.abs(guess - TRUTH).max()), float(np.abs(found - TRUTH).max())


if __name__ == "__main__":
    before, after = main(path=Path(__file__).with_name("pendulum.png"))
    print(f"largest error {before:.2f} before, {after:.3f} after the fit")
