"""Tells benign from malignant tumours by thirty measurements (Wolberg et al., 1995)."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer

import dmc
from examples.pictures import picture

PROGRAM = Path(__file__).parent / "logistic.dm"


def main(path: Path | None = None) -> tuple[float, float, int]:
    """The share of a fifth held out that is right, the norm of the gradient, and steps taken."""
    program = dmc.load(PROGRAM)
    measured, kind = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(kind))
    held_out, rest = np.split(order, [len(kind) // 5])
    mean, spread = measured[rest].mean(axis=0), measured[rest].std(axis=0)
    x, y = (measured - mean) / spread, kind.astype(np.float64)
    start = program.Model(w=np.zeros(30), b=0.0)
    data = x[rest], y[rest], 1e-3
    found = dmc.scipy.minimize(program.loss, start, *data, method="trust-ncg", tol=1e-9)
    right = (program.logits(found.x, x[held_out]) > 0) == (y[held_out] > 0.5)
    if path is not None:
        scores = program.logits(found.x, x[held_out])
        kinds = [scores[y[held_out] == kind] for kind in (0, 1)]
        picture(path, lambda axes: axes.hist(kinds, 30, label=["malignant", "benign"]))
    return float(np.mean(right)), float(np.linalg.norm(found.jac)), int(found.nit)


if __name__ == "__main__":
    right, slope, steps = main(path=Path(__file__).with_name("logistic.png"))
    print(f"{100 * right:.1f} % right, gradient {slope:.0e} after {steps} Newton steps")
