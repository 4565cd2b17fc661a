"""Learns a function from forty noisy values of it, and how sure it is; SciPy does the learning."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

import dmc
from examples.pictures import picture

PROGRAM = Path(__file__).parent / "process.dm"
NOISE = 0.1


def function(x: np.ndarray) -> np.ndarray:
    return np.sin(3.0 * x) + 0.3 * x


def main(path: Path | None = None) -> tuple[float, float, float]:
    """The noise that it makes out, its error, and the share of places within two deviations."""
    program = dmc.load(PROGRAM)
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(-3.0, 3.0, 40))
    y = function(x) + NOISE * rng.standard_normal(40)
    start = program.Kernel(scale=0.0, height=0.0, noise=-1.0)
    kernel = dmc.scipy.minimize(program.loss, start, x, y, method="L-BFGS-B").x
    at = np.linspace(-2.8, 2.8, 200)
    mean, deviation = program.predict(kernel, x, y, at)
    off = np.abs(mean - function(at))
    if path is not None:

        def band(axes: Axes) -> None:
            axes.fill_between(at, mean - 2 * deviation, mean + 2 * deviation, alpha=0.3)
            axes.plot(at, mean, label="learned")
            axes.plot(at, function(at), ":", label="true")
            axes.plot(x, y, ".", color="grey")
            axes.legend()

        picture(path, band)
    inside = float(np.mean(off < 2.0 * deviation))
    return float(np.exp(kernel.noise)), float(np.sqrt(np.mean(off**2))), inside


if __name__ == "__main__":
    noise, off, inside = main(path=Path(__file__).with_name("process.png"))
    print(f"noise of {noise:.3f} (drawn with {NOISE}), error {off:.3f}")
    print(f"{100 * inside:.0f} % of the function is within two standard deviations")
