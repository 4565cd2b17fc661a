"""Learns an optimizer on quadratics, and sets it against tuned gradient descent on new ones."""

from pathlib import Path

import numpy as np

import dmc
from examples.pictures import lines, picture

PROGRAM = Path(__file__).parent / "learned.dm"
SIZE, STEPS = 8, 20


def bowls(program: dmc.Module, rng: np.random.Generator, count: int) -> dmc.Record:
    """Random quadratics whose directions differ in steepness."""
    scale = np.exp(rng.uniform(-1.0, 0.5, (count, SIZE, 1)))
    a = scale * np.linalg.qr(rng.standard_normal((count, SIZE, SIZE)))[0]
    c = rng.standard_normal((count, SIZE))
    return dmc.stack([program.Bowl(a=a[i], c=c[i]) for i in range(count)])


def main(steps: int = 120, path: Path | None = None) -> tuple[float, float]:
    """The median height after a run on new quadratics: of what was learned, and of descent."""
    program = dmc.load(PROGRAM)
    rng = np.random.default_rng(0)
    rule = program.Rule.init(dmc.key(0), H=16)
    opt = program.start(rule)
    step = program.step[STEPS]
    for _ in range(steps):
        _, rule, opt = step(rule, opt, bowls(program, rng, 16), 1e-2)
    new = bowls(program, np.random.default_rng(1), 200)
    learned = np.median(program.ends[STEPS](rule, new))
    rates = np.geomspace(0.05, 1.5, 30)
    if path is not None:
        runs = {"learned": program.run[STEPS](rule, new[0])}
        runs |= {
            f"descent at {rate}": program.descent[STEPS](rate, new[0]) for rate in (0.1, 0.3, 0.9)
        }
        logs = {name: np.log10(run) for name, run in runs.items()}
        picture(path, lambda axes: lines(axes, np.arange(STEPS), logs))
    descent = min(np.median(program.descent_ends[STEPS](rate, new)) for rate in rates)
    return float(learned), float(descent)


if __name__ == "__main__":
    learned, descent = main(path=Path(__file__).with_name("learned.png"))
    print(f"median height after {STEPS} steps: {learned:.1e} learned, {descent:.1e} best descent")
