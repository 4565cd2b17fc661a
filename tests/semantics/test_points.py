"""Several axes that are indexed by tensors of one shape: `x[rows, columns]` names points."""

from __future__ import annotations

import numpy as np
import pytest

from dmc.diagnostics.errors import Error
from dmc.semantics.modules import check_text
from tests.semantics.running import run

RNG = np.random.default_rng(5)
ROWS, COLUMNS = np.array([2, 0, 2, 2], np.int32), np.array([1, 4, 1, 3])
X, V = RNG.normal(size=(3, 5, 4)), RNG.uniform(0.5, 1.5, size=(4, 2))


@pytest.mark.parametrize("change", ["=", "+=", "-=", "*=", "/="])
def test_changes_are_those_of_a_loop(change: str) -> None:
    """Values, gradients in both, and second derivatives; a point is named twice."""
    whole = f"    d[r, c, 0:4:2] {change} v\n"
    one_by_one = f"    for p in 0..4 {{ d[r[p], c[p], 0:4:2] {change} v[p] }}\n"
    found: list[list[object]] = []
    for body in (whole, one_by_one):
        source = (
            "fn s(x: f64[3, 5, 4], v: f64[4, 2], r: i32[4], c: i64[4]) -> f64 {\n"
            f"    var d = x\n{body}    sum(sin(d)) * sum(d[r, c, 1] ** 2)\n}}\n"
            "fn f(x: f64[3, 5, 4], v: f64[4, 2], r: i32[4], c: i64[4]) -> (f64, f64[3, 5, 4], "
            "f64[4, 2], f64[3, 5, 4], f64[4, 2]) {\n"
            "    let (gx, gv) = grad(s, wrt = (x, v))(x, v, r, c)\n"
            "    let (hx, hv) = hvp(s, wrt = (x, v), along = (x, v))(x, v, r, c)\n"
            "    (s(x, v, r, c), gx, gv, hx, hv)\n}\n"
        )
        found.append(run(source, "f", x=X, v=V, r=ROWS, c=COLUMNS))
    for got, wanted in zip(*found, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-14)


def test_axes_stand_where_the_first_index_is() -> None:
    source = (
        "fn f(x: f64[3, 5, 4], r: i32[4], c: i64[4]) -> (f64[4, 5], f64[2, 4]) =\n"
        "    (x[r, :, c], x[1:, r, c])\n"
    )
    columns = np.array([1, 3, 1, 0])
    beside, behind = run(source, "f", x=X, r=ROWS, c=columns)
    np.testing.assert_array_equal(beside, X[ROWS, :, columns])
    np.testing.assert_array_equal(behind, X[1:, ROWS, columns])


def test_shapes_agree() -> None:
    with pytest.raises(Error, match="name points together, and differ in shape"):
        check_text("fn f(x: f64[4, 5], r: i32[3], c: i32[2]) -> f64[3, 2] = x[r, c]\n")
