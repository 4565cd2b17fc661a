"""Learns the density of two half-moons; drawn anew, its samples lie on them."""

import tempfile
from pathlib import Path

import numpy as np

import dmc
from examples.pictures import picture

PROGRAM = Path(__file__).parent / "flow.dm"
SPREAD = 0.1


def moons(rng: np.random.Generator, n: int) -> np.ndarray:
    """Points around two half circles, f32[n, 2]."""
    angle = np.pi * rng.uniform(size=n)
    side = rng.integers(0, 2, n)
    x = np.where(side, 1.0 - np.cos(angle), np.cos(angle))
    y = np.where(side, 0.5 - np.sin(angle), np.sin(angle))
    points = np.stack([x, y], axis=1) + SPREAD * rng.standard_normal((n, 2))
    return points.astype(np.float32)


def main(path: Path | None = None) -> tuple[float, float, float]:
    """The loss on new points, that of a Gaussian, and the share of samples on the moons."""
    rng = np.random.default_rng(0)
    train, new = moons(rng, 4096), moons(rng, 4096)
    with tempfile.TemporaryDirectory() as folder:
        recipe = {
            "program": str(PROGRAM),
            "steps": 400,
            "model": {"name": "Flow", "sizes": {"L": 4, "H": 32}},
            "data": {"batch_size": 256},
            "arguments": {"rate": 3e-3},
            "outputs": {"directory": folder, "plot": False, "report": False},
        }
        trainer = dmc.Trainer(recipe, data={"x": train}, test={"x": new})
        report = trainer.run()
    drawn = trainer.program.samples[2000](report.net, dmc.key(1))
    if path is not None:
        picture(
            path,
            lambda axes: axes.plot(*new[:2000].T, ".", markersize=2),
            lambda axes: axes.plot(*drawn.T, ".", markersize=2),
        )
    apart = np.sqrt(((drawn[:, None] - new[None, ::4]) ** 2).sum(axis=-1).min(axis=1))
    gaussian = np.log(2 * np.pi) + 1.0 + 0.5 * np.linalg.slogdet(np.cov(train.T))[1]
    return report.test["loss"], float(gaussian), float(np.mean(apart < 0.1))


if __name__ == "__main__":
    loss, gaussian, near = main(path=Path(__file__).with_name("flow.png"))
    print(f"{loss:.2f} nats a point ({gaussian:.2f} for a Gaussian)")
    print(f"{100 * near:.0f} % of the samples lie on the moons")
