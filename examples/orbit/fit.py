"""Finds the velocity of a comet from noisy sightings, and when it is nearest to the sun."""

from pathlib import Path

import numpy as np

import dmc

PROGRAM = Path(__file__).parent / "orbit.dm"
H, EVERY, SIGHTINGS = 0.01, 20, 40
START = np.array([2.0, 0.0])
VELOCITY = np.array([-0.3, 0.45])


def main() -> tuple[float, float, float]:
    """Errors of the velocity before and after the fit, and of the time of the perihelion."""
    program = dmc.load(PROGRAM)
    path = program.orbit[EVERY * SIGHTINGS](START, VELOCITY, H)
    noise = np.random.default_rng(0).normal(scale=1e-3, size=(SIGHTINGS, 2))
    seen = path[EVERY - 1 :: EVERY, :2] + noise

    guess = np.array([-0.2, 0.55])
    velocity = program.fit[EVERY](guess, START, H, seen, steps=30)
    when = program.perihelion[2000](START, velocity, H)
    true = program.perihelion[2000](START, VELOCITY, H)
    before = float(np.linalg.norm(guess - VELOCITY))
    after = float(np.linalg.norm(velocity - VELOCITY))
    return before, after, abs(float(when - true))


if __name__ == "__main__":
    before, after, late = main()
    print(f"error of the velocity: {before:.2f} before, {after:.1e} after the fit")
    print(f"error of the time of the perihelion: {late:.1e}")
