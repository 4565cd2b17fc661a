"""Finds cameras and points from pictures with half a pixel of noise, all from wrong places."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

import dmc
from examples.pictures import picture

PROGRAM = Path(__file__).parent / "bundle.dm"
CAMERAS, POINTS, STEPS, NOISE = 6, 60, 30, 0.5


@dataclass(frozen=True)
class Result:
    """Root mean square distances in pixels: before, after each step, and what the noise leaves."""

    before: float
    path: np.ndarray
    least: float
    start: np.ndarray
    points: np.ndarray
    truth: np.ndarray


def scene(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cameras f64[C, 9] on an arc, looking at points f64[N, 3] around the origin."""
    turns = np.linspace(-0.7, 0.7, CAMERAS)
    cameras = np.zeros((CAMERAS, 9))
    cameras[:, 1] = turns
    cameras[:, 0] = 0.1 * rng.standard_normal(CAMERAS)
    cameras[:, 3:6] = [0.0, 0.0, 6.0]
    cameras[:, 3:5] += 0.2 * rng.standard_normal((CAMERAS, 2))
    cameras[:, 6], cameras[:, 7], cameras[:, 8] = 800.0, -0.1, 0.02
    return cameras, rng.uniform(-1.5, 1.5, (POINTS, 3))


def main() -> Result:
    program = dmc.load(PROGRAM)
    rng = np.random.default_rng(0)
    cameras, truth = scene(rng)
    seen = np.array([[program.project(c, x) for x in truth] for c in cameras])
    seen += NOISE * rng.standard_normal(seen.shape)
    wrong = cameras.copy()
    wrong[:, :6] += 0.05 * rng.standard_normal((CAMERAS, 6))
    wrong[:, 6] *= 1.05
    start = truth + 0.2 * rng.standard_normal(truth.shape)
    before = program.cost(wrong, start, seen)
    _, points, costs = program.adjust[STEPS](wrong, start, seen)
    # Turning, moving and scaling the whole scene, seven directions, changes no picture.
    free = 2 * CAMERAS * POINTS - (9 * CAMERAS + 3 * POINTS - 7)
    least = NOISE * np.sqrt(free / (CAMERAS * POINTS))
    path = np.sqrt(costs)
    return Result(float(np.sqrt(before)), path, float(least), start, points, truth)


def draw(result: Result, path: Path) -> None:
    def costs(axes: Axes) -> None:
        axes.semilogy([result.before, *result.path])
        axes.axhline(result.least, color="grey", linestyle=":")
        axes.set_xlabel("step")
        axes.set_ylabel("distance (pixels)")

    def places(axes: Axes) -> None:
        axes.scatter(*result.start[:, ::2].T, s=12, color="#c6d4e8", label="start")
        axes.scatter(*result.points[:, ::2].T, s=12, color="#24508a", label="found")
        axes.legend()

    picture(path, costs, places)


if __name__ == "__main__":
    result = main()
    draw(result, Path(__file__).with_name("bundle.png"))
    print(
        f"{result.before:.1f} pixels off before, {result.path[-1]:.3f} after {STEPS} steps; "
        f"the noise leaves {result.least:.3f}"
    )
