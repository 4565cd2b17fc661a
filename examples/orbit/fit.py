"""Finds the velocity of a comet from noisy sightings, and when it is nearest to the sun."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

import dmc
from examples.pictures import picture

PROGRAM = Path(__file__).parent / "orbit.dm"
H, EVERY, SIGHTINGS = 0.01, 20, 40
START = np.array([2.0, 0.0])
VELOCITY = np.array([-0.3, 0.45])


def main(path: Path | None = None) -> tuple[float, float, float]:
    """Errors of the velocity before and after the fit, and of the time of the perihelion."""
    program = dmc.load(PROGRAM)
    orbit = program.orbit[EVERY * SIGHTINGS](START, VELOCITY, H)
    noise = np.random.default_rng(0).normal(scale=1e-3, size=(SIGHTINGS, 2))
    seen = orbit[EVERY - 1 :: EVERY, :2] + noise

    guess = np.array([-0.2, 0.55])
    velocity = program.fit[EVERY](guess, START, H, seen, steps=30)
    when = program.perihelion[2000](START, velocity, H)
    true = program.perihelion[2000](START, VELOCITY, H)
    if path is not None:

        def places(axes: Axes) -> None:
            first, found = (program.orbit[1200](START, v, H) for v in (guess, velocity))
            axes.plot(*first[:, :2].T, ":", label="guess")
            axes.plot(*found[:, :2].T, label="found")
            axes.plot(*seen.T, ".", label="seen")
            axes.plot(0, 0, "o", color="orange")
            axes.set_aspect("equal")
            axes.legend()

        picture(path, places)
    before = float(np.linalg.norm(guess - VELOCITY))
    after = float(np.linalg.norm(velocity - VELOCITY))
    return before, after, abs(float(when - true))


if __name__ == "__main__":
    before, after, late = main(path=Path(__file__).with_name("orbit.png"))
    print(f"error of the velocity: {before:.2f} before, {after:.1e} after the fit")
    print(f"error of the time of the perihelion: {late:.1e}")
