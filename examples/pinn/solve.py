"""Solves a boundary value problem with a net, by least squares with exact Jacobians."""

from pathlib import Path

import numpy as np

import dmc
from examples.pictures import lines, picture

PROGRAM = Path(__file__).parent / "pinn.dm"


def main(path: Path | None = None) -> tuple[float, int]:
    """The largest error of the solution, and the evaluations that it took."""
    program = dmc.load(PROGRAM)
    net = program.Net.init(dmc.key(0), H=8)
    places = np.linspace(0.0, 1.0, 64)
    found = dmc.scipy.least_squares(program.residuals, net, places, max_nfev=60)
    x = np.linspace(0.0, 1.0, 501)
    solved, exact = program.values(found.x, x), program.exact_values(x)
    if path is not None:
        picture(
            path,
            lambda axes: lines(axes, x, {"solved": solved, "exact": exact}),
            lambda axes: lines(axes, x, {"difference": solved - exact}),
        )
    off = np.abs(solved - exact).max()
    return float(off), int(found.nfev)


if __name__ == "__main__":
    off, evaluations = main(path=Path(__file__).with_name("pinn.png"))
    print(f"largest error {off:.1e} after {evaluations} evaluations")
