"""Learns how noisy a drifting body and its measurements are, from the measurements alone."""

from pathlib import Path

import numpy as np

import dmc
from examples.pictures import lines, picture

PROGRAM = Path(__file__).parent / "kalman.dm"
PUSH, MEASURE = 0.01, 4.0
"""The variances that the data is drawn with."""


def drift(steps: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Places of a body pushed at random, and noisy measurements of them; f64[steps] both."""
    pushes = rng.multivariate_normal(
        np.zeros(2), PUSH * np.array([[1 / 3, 1 / 2], [1 / 2, 1.0]]), size=steps
    )
    state, places = np.array([0.0, 1.0]), np.empty(steps)
    for t in range(steps):
        state = np.array([[1.0, 1.0], [0.0, 1.0]]) @ state + pushes[t]
        places[t] = state[0]
    return places, places + rng.normal(scale=np.sqrt(MEASURE), size=steps)


def main(path: Path | None = None) -> tuple[float, float, float]:
    """The variances learned, and by what factor the filter's error is below the measurements'."""
    program = dmc.load(PROGRAM)
    places, y = drift(2000, np.random.default_rng(0))
    noise = program.fit(program.Noise(push=-3.0, measure=0.0), y, steps=12)
    _, filtered = program.filter(noise, y)
    push, measure = float(np.exp(noise.push)), float(np.exp(noise.measure))
    if path is not None:
        curves = {"measured": y[:100], "filtered": filtered[:100], "true": places[:100]}
        picture(path, lambda axes: lines(axes, np.arange(100), curves, dots="measured"))
    gain = float(np.std(y - places) / np.std(filtered - places))
    return push, measure, gain


if __name__ == "__main__":
    push, measure, gain = main(path=Path(__file__).with_name("kalman.png"))
    print(f"variance of a push: {push:.4f} (drawn with {PUSH})")
    print(f"variance of a measurement: {measure:.2f} (drawn with {MEASURE})")
    print(f"the filter is {gain:.1f} times as exact as the measurements")
