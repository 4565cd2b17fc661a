"""Sets of points: membership, text and counting."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dmc.ir import AffineExpr, AffineSet
from dmc.ir.affine_set import read_set, tightened
from tests.ir.modules import affine_sets


@given(affine_sets(), st.lists(st.integers(0, 7), min_size=3, max_size=3))
def test_points_are_counted(points: AffineSet, sizes: list[int]) -> None:
    space = sizes[: points.dimensions]
    inside = np.broadcast_to(points.holds(np.ix_(*map(np.arange, space))), space)
    assert points.count(space) == int(inside.sum())


@given(affine_sets())
def test_tightening_keeps_the_points(points: AffineSet) -> None:
    grid = np.ix_(*(np.arange(6) for _ in range(points.dimensions)))
    for expr in points.constraints:
        assert np.array_equal(expr.evaluate(grid) >= 0, tightened(expr).evaluate(grid) >= 0)


def test_text() -> None:
    triangle = AffineSet(2, (AffineExpr((1, -1)), AffineExpr((0, 2), -3)))
    assert str(triangle) == "(d0, d1) : (d0 - d1 >= 0, d1 * 2 - 3 >= 0)"
    assert read_set(str(triangle)) == triangle
    assert read_set("(d0) : (0 == 0)").is_everything
