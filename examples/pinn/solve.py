"""Solves a boundary value problem with a net, by least squares with exact Jacobians."""

from pathlib import Path

import numpy as np

import dmc

PROGRAM = Path(__file__).parent / "pinn.dm"


def main() -> tuple[float, int]:
    """The largest error of the solution, and the evaluations that it took."""
    program = dmc.load(PROGRAM)
    net = program.Net.init(dmc.key(0), H=8)
    places = np.linspace(0.0, 1.0, 64)
    found = dmc.scipy.least_squares(program.residuals, net, places, max_nfev=60)
    x = np.linspace(0.0, 1.0, 501)
    off = np.abs(program.values(found.x, x) - program.exact_values(x)).max()
    return float(off), int(found.nfev)


if __name__ == "__main__":
    off, evaluations = main()
    print(f"largest error {off:.1e} after {evaluations} evaluations")
