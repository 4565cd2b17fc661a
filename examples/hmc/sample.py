"""Samples from a curved density and holds their moments against the exact ones."""

from pathlib import Path

import numpy as np

import dmc
from examples.pictures import picture

PROGRAM = Path(__file__).parent / "hmc.dm"


def main(samples: int = 10_000, path: Path | None = None) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean and covariance of the samples, and how many proposals were taken."""
    program = dmc.load(PROGRAM)
    chain = program.sample[samples](program.banana, np.zeros(2), 0.25, 12, dmc.key(0))
    if path is not None:
        picture(path, lambda axes: axes.plot(*chain.at[:3000].T, ".", markersize=2))
    return chain.at.mean(axis=0), np.cov(chain.at.T), float(chain.accepted)


if __name__ == "__main__":
    mean, covariance, accepted = main(path=Path(__file__).with_name("hmc.png"))
    print(f"mean {np.round(mean, 2)} (exactly [0, 1])")
    print(f"variances {np.round(np.diag(covariance), 2)} (exactly [4, 2.25])")
    print(f"{100 * accepted:.0f} % of the proposals were taken")
