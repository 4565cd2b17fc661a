"""Learns weights that learn sine waves from ten points, and sets them against random ones."""

from pathlib import Path

import numpy as np

import dmc
from examples.pictures import lines, picture

PROGRAM = Path(__file__).parent / "maml.dm"
POINTS, INNER = 10, 0.02


def waves(rng: np.random.Generator, tasks: int, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of points on each of many waves, f32[tasks, 2, points]."""
    height = rng.uniform(0.1, 5.0, (tasks, 1, 1))
    phase = rng.uniform(0.0, np.pi, (tasks, 1, 1))
    x = rng.uniform(-5.0, 5.0, (tasks, 2, points))
    return x.astype(np.float32), (height * np.sin(x - phase)).astype(np.float32)


def main(steps: int = 600, path: Path | None = None) -> tuple[float, float]:
    """The error on new waves after five gradient steps: from what was learned, and from random."""
    program = dmc.load(PROGRAM)
    rng = np.random.default_rng(0)
    random = net = program.Net.init(dmc.key(0))
    opt = program.start(net)
    for _ in range(steps):
        x, y = waves(rng, 16, POINTS)
        _, net, opt = program.step(net, opt, x, y, rate=2e-3, inner=INNER)
    x, y = waves(np.random.default_rng(1), 100, POINTS)
    if path is not None:
        at = np.linspace(-5.0, 5.0, 200, dtype=np.float32)
        wave = {"points": np.interp(at, np.sort(x[0, 0]), y[0, 0][np.argsort(x[0, 0])])}
        for name, start in (("learned", net), ("random", random)):
            wave[name] = program.adapted(start, x[0, 0], y[0, 0], 5, INNER)(at)
        picture(path, lambda axes: lines(axes, at, wave, dots="points"))
    return error(program, net, x, y), error(program, random, x, y)


def error(program: dmc.Module, net: dmc.Record, x: np.ndarray, y: np.ndarray) -> float:
    losses = [
        program.loss(program.adapted(net, xs[0], ys[0], 5, INNER), xs[1], ys[1])
        for xs, ys in zip(x, y, strict=True)
    ]
    return float(np.mean(losses))


if __name__ == "__main__":
    learned, random = main(path=Path(__file__).with_name("sinusoids.png"))
    print(f"error after five steps: {learned:.2f} from learned weights, {random:.2f} from random")
