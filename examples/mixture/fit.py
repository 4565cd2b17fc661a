"""Finds the three kinds of Fisher's irises (1936) by their measures alone."""

from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from sklearn.datasets import load_iris

import dmc
from examples.pictures import picture

PROGRAM = Path(__file__).parent / "mixture.dm"
K = 3


@dataclass(frozen=True)
class Result:
    """The mean log-likelihood, the share of flowers put with their kind, and the part of each."""

    likelihood: float
    right: float
    parts: np.ndarray
    measures: np.ndarray


def groups(x: np.ndarray) -> np.ndarray:
    """A first guess: ten rounds of Lloyd's algorithm from points that are far apart."""
    centers = [x[0]]
    while len(centers) < K:
        distance = np.min([((x - c) ** 2).sum(1) for c in centers], axis=0)
        centers.append(x[distance.argmax()])
    means = np.array(centers)
    for _ in range(10):
        near = ((x[:, None] - means) ** 2).sum(-1).argmin(1)
        means = np.array([x[near == k].mean(0) for k in range(K)])
    return ((x[:, None] - means) ** 2).sum(-1).argmin(1)


def main() -> Result:
    program = dmc.load(PROGRAM)
    x, kinds = load_iris(return_X_y=True)
    near = groups(x)
    roots = []
    for k in range(K):
        root = np.linalg.inv(np.linalg.cholesky(np.cov(x[near == k].T)))
        roots.append(np.tril(root, -1) + np.diag(np.log(np.diag(root))))
    start = program.Mixture(
        shares=np.log(np.bincount(near) / len(x)),
        mean=np.array([x[near == k].mean(0) for k in range(K)]),
        root=np.array(roots),
    )
    found = dmc.scipy.minimize(program.loss, start, x, method="L-BFGS-B", tol=1e-12)
    parts = program.parts(found.x, x)
    right = max(np.mean(np.array(order)[parts] == kinds) for order in permutations(range(K)))
    return Result(-float(found.fun), float(right), parts, x)


def draw(result: Result, path: Path) -> None:
    def scatter(first: int, second: int, axes: Axes) -> None:
        x, y = result.measures[:, first], result.measures[:, second]
        axes.scatter(x, y, c=result.parts, cmap="viridis", s=12)
        axes.set_xlabel(f"measure {first + 1} (cm)")
        axes.set_ylabel(f"measure {second + 1} (cm)")

    picture(path, lambda axes: scatter(0, 1, axes), lambda axes: scatter(2, 3, axes))


if __name__ == "__main__":
    result = main()
    draw(result, Path(__file__).with_name("mixture.png"))
    print(f"log-likelihood {result.likelihood:.4f} a flower, {100 * result.right:.1f} % right")
