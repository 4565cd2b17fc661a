"""Sparse Jacobians and Hessians: equal to dense ones, with few passes whatever the size."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dmc
from dmc.api.sparse import SparseJacobian
from dmc.ir import Array
from dmc.sparsity.colours import compress, star
from dmc.sparsity.pattern import Pattern

SPARSE = dmc.load(Path(__file__).parent / "sparse.dm")
RNG = np.random.default_rng(5)
X, FROM, TO = RNG.normal(size=9), *RNG.integers(0, 9, (2, 14)).astype(np.int32)
MATRICES = RNG.normal(size=(4, 2, 2)) + 3 * np.eye(2)

JACOBIANS: dict[str, tuple[tuple[Any, ...], int, list[int]]] = {
    # the arguments, the entries that may differ from zero, the passes forward and in reverse
    "tridiagonal": ((X,), 25, [3]),
    "heat": ((RNG.normal(size=(6, 6)), 0.1), 156, [5]),
    "arrow": ((X,), 25, [2, 1]),
    "graph": ((X, FROM, TO), 26, [3]),
    "spread": ((RNG.normal(size=14), TO, X), 14, [1]),
    "recurrence": ((X,), 17, [3]),
    "counted": ((X, 2), 24, [3]),
    "halved": ((X,), 9, [1]),
    "chosen": ((X,), 81, [9]),
    "mixed": ((X, RNG.normal(size=(9, 9))), 81, [9]),
    "sorted_parts": ((RNG.normal(size=(4, 3)),), 36, [3]),
    "solved": ((MATRICES, RNG.normal(size=(4, 2))), 32, [4]),
    "ruled": ((X,), 9, [1]),
}
DENSE = {
    "chosen": r"sparse.dm:53:25(.|\n)*x\[top\](.|\n)*known only when it runs",
    "mixed": r"sparse.dm:57:13(.|\n)*a @ x(.|\n)*depends on all of them",
}
"""What is said of those that are not sparse."""

HESSIANS: dict[str, tuple[tuple[Any, ...], int, list[int]]] = {
    "energy": ((X,), 25, [3]),
    "hub": ((X,), 25, [2]),
    "network": ((X, FROM, TO), 31, [4]),
    "plate": ((RNG.normal(size=(6, 6)),), 120, [7]),
}


def passes(found: SparseJacobian, arguments: tuple[Any, ...]) -> list[int]:
    return [each.count for each in found.plan(*arguments).passes]


def agrees(operator: Any, name: str, arguments: tuple[Any, ...]) -> tuple[int, list[int]]:
    """The entries and passes of a sparse derivative, which equals the dense one."""
    f = getattr(SPARSE, name)
    found = operator(f, sparse=True)
    matrix, dense = found(*arguments), operator(f)(*arguments)
    dense = dense[0] if isinstance(dense, tuple) else dense
    assert np.allclose(matrix.toarray(), dense.reshape(matrix.shape), rtol=1e-12, atol=1e-14)
    return matrix.nnz, passes(found, arguments)


@pytest.mark.parametrize("name", JACOBIANS)
def test_jacobians(name: str) -> None:
    arguments, entries, wanted = JACOBIANS[name]
    with pytest.warns(UserWarning, match=DENSE[name]) if name in DENSE else nullcontext():
        assert agrees(dmc.jacobian, name, arguments) == (entries, wanted)


def test_what_is_dense_for_want_of_a_count_says_so_where_the_loop_begins() -> None:
    program = dmc.loads("""
fn f[N](x: f64[N], k: i64) -> f64[N] {
    var y = x
    var n = k
    while n > 0 limit 50 {
        y = [i] => y[i] * y[(i + 1) % N]
        n -= 1
    }
    y
}
fn g[N](x: f64[N], at: i64[N]) -> f64 {
    let (values, _, _) = jacobian(fn(z: f64[N]) => [i] => z[at[i]], sparse = true)(x)
    sum(values)
}
""")
    with pytest.warns(UserWarning, match=r"m.dm:5:5(.|\n)*how often this runs is not known"):
        dmc.jacobian(program.f, wrt="x", sparse=True)(X, 2)
    # What a program asks for itself is found before its arguments are known.
    with pytest.warns(UserWarning, match=r"m.dm:12:59(.|\n)*known only when it runs"):
        program.g(X, np.arange(9))
    dmc.jacobian(program.f, wrt="x", sparse=True)(X[:2], 2)  # too small to tell


@pytest.mark.parametrize("name", HESSIANS)
def test_hessians(name: str) -> None:
    arguments, entries, wanted = HESSIANS[name]
    assert agrees(dmc.hessian, name, arguments) == (entries, wanted)


def test_columns_are_the_leaves_of_all_that_is_differentiated_in() -> None:
    p, x = SPARSE.Two(a=RNG.normal(size=5), b=RNG.normal(size=(2, 3))), RNG.normal(size=3)
    matrix = dmc.jacobian(SPARSE.of_record, wrt=("x", "p"), sparse=True)(p, x)
    by_x, by_p = dmc.jacobian(SPARSE.of_record, wrt=("x", "p"))(p, x)
    parts = [part.reshape(6, -1) for part in (by_x, by_p.a, by_p.b)]
    assert np.allclose(matrix.toarray(), np.concatenate(parts, 1))
    assert matrix.nnz == 18


def test_entries_and_passes_do_not_grow_faster_than_the_size() -> None:
    for size in (50, 400, 3200):
        x = np.linspace(0.1, 1.0, size)
        for operator, name, count in (
            (dmc.jacobian, "tridiagonal", [3]),
            (dmc.jacobian, "arrow", [2, 1]),
            (dmc.hessian, "energy", [3]),
            (dmc.hessian, "hub", [2]),
        ):
            found = operator(getattr(SPARSE, name), sparse=True)
            plan = found.plan(x)
            assert [each.count for each in plan.passes] == count
            assert len(plan.columns) == 3 * size - 2


def test_integers_that_a_pattern_depends_on_find_it_anew() -> None:
    found = dmc.jacobian(SPARSE.graph, sparse=True)
    for ends in (TO, TO[::-1].copy(), FROM):
        dense = dmc.jacobian(SPARSE.graph)(X, FROM, ends)
        assert np.allclose(found(X, FROM, ends).toarray(), dense)
    assert found.plan(X, FROM, TO) is found.plan(X + 1.0, FROM, TO)


def test_colours_give_back_the_entries_of_any_pattern() -> None:
    for density in (0.02, 0.1, 0.5):
        there = RNG.random((30, 20)) < density
        assert recovered(compress(pattern_of(there)), np.where(there, RNG.random((30, 20)), 0.0))
        square = there[:20] | there[:20].T
        half = np.where(square, RNG.random((20, 20)), 0.0)
        assert recovered(star(pattern_of(square)), half + half.T)
    # What is not in the pattern is not given back: the check can fail.
    assert not recovered(compress(pattern_of(np.eye(3) > 0)), np.ones((3, 3)))


def pattern_of(there: Array, grid: tuple[int, ...] = ()) -> Pattern:
    starts = np.concatenate([[0], np.cumsum(there.sum(1))])
    height, width = there.shape
    return Pattern((height, width), starts, np.nonzero(there)[1], grid or (width,))


def stencil(grid: tuple[int, ...], reach: int, wrapped: bool = False) -> Array:
    """Which points of a grid are at most `reach` steps from each other."""
    points = np.indices(grid).reshape(len(grid), -1)
    apart = np.abs(points[:, :, None] - points[:, None])
    if wrapped:
        apart = np.minimum(apart, np.array(grid)[:, None, None] - apart)
    return apart.sum(0) <= reach


@pytest.mark.parametrize(
    ("grid", "reach", "wrapped", "fewest"),
    [
        ((7, 9), 1, False, 5),
        ((5, 10), 1, True, 5),
        ((9, 10), 2, False, 13),
        ((4, 5, 6), 1, False, 7),
        ((31,), 3, False, 7),
    ],
)
def test_stencils_take_as_many_passes_as_they_have_points(
    grid: tuple[int, ...], reach: int, wrapped: bool, fewest: int
) -> None:
    """With edges or without. Of columns that are not known to be on a grid they take more."""
    there = stencil(grid, reach, wrapped)
    found = compress(pattern_of(there, grid))
    assert (found.forward, found.reverse) == (fewest, 0)
    assert recovered(found, np.where(there, RNG.random(there.shape), 0.0))
    assert (compress(pattern_of(there)).forward > fewest) == (len(grid) > 1)


def test_two_fields_on_one_grid_share_a_lattice() -> None:
    """u at five points, and v at one, for each point; then what is no stencil at all."""
    own = np.eye(30, dtype=bool)
    cross = stencil((5, 6), 1)
    there = np.block([[cross, own], [own, cross]])
    assert compress(pattern_of(there, (2, 5, 6))).forward == 6
    there[0] = RNG.random(60) < 0.2
    found = compress(pattern_of(there, (2, 5, 6)))
    assert recovered(found, np.where(there, RNG.random(there.shape), 0.0))


def recovered(found: Any, matrix: Array) -> bool:
    """Whether the entries of a matrix come back from its products with the directions."""
    columns = [found.column_colours == c for c in range(found.forward)]
    rows = [found.row_colours == c for c in range(found.reverse)]
    tables = [matrix @ d for d in columns] + [matrix.T @ d for d in rows]
    flat = np.concatenate([t.astype(float) for t in tables]) if tables else np.zeros(0)
    wanted = matrix[matrix != 0.0]
    return found.places.shape == wanted.shape and np.allclose(flat[found.places], wanted)


def test_without_scipy_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    with pytest.raises(dmc.Error, match=r'pip install "dmc\[scipy\]"'):
        dmc.jacobian(SPARSE.tridiagonal, sparse=True)(X)


def test_inside_a_program() -> None:
    like, x = np.zeros((9, 9)), X
    jacobian = dmc.jacobian(SPARSE.tridiagonal)(x)
    assert np.allclose(SPARSE.dense_tridiagonal(x, like), 2.0 * jacobian * x[0])
    assert np.allclose(SPARSE.dense_arrow(x, like), dmc.jacobian(SPARSE.arrow)(x))
    assert np.allclose(SPARSE.dense_hessian(x, like), dmc.hessian(SPARSE.energy)(x))
    p, y = SPARSE.Two(a=RNG.normal(size=5), b=RNG.normal(size=(2, 3))), RNG.normal(size=3)
    matrix = dmc.jacobian(SPARSE.of_record, wrt=("x", "p"), sparse=True)(p, y).toarray()
    assert np.allclose(SPARSE.dense_of_record(p, y, np.zeros((6, 14))), matrix)


def test_inside_builders_loops_and_gradients() -> None:
    points = RNG.normal(size=(4, 9))
    sums, rest = SPARSE.sums(points)
    assert np.allclose(sums, [dmc.jacobian(SPARSE.tridiagonal)(x).sum() for x in points])
    assert np.allclose(rest, points.sum(1))
    y = X
    for _ in range(3):
        y = y + 0.1 * dmc.jacobian(SPARSE.heated)(y) @ X
    assert np.allclose(SPARSE.implicit(X), y)
    step = 1e-6 * np.eye(9)
    slopes = [(SPARSE.norm(X + d) - SPARSE.norm(X - d)) / 2e-6 for d in step]
    assert np.allclose(dmc.grad(SPARSE.norm)(X), slopes, rtol=1e-6)


def test_one_matrix_has_one_element_type() -> None:
    with pytest.raises(dmc.Error, match="this is of f32, f64"):
        dmc.loads(
            "fn f(x: f64[3]) -> f32[3] = f32(x)\n"
            "fn g(x: f64[3]) -> f64 { let (v, r, c) = jacobian(f, sparse = true)(x)\n 1.0 }"
        )
    with pytest.raises(dmc.Error, match="write `sparse = true`"):
        dmc.loads(
            "fn f(x: f64[3]) -> f64[3] = x\n"
            "fn g(x: f64[3], b: bool) -> f64 { let v = jacobian(f, sparse = b)(x)\n 1.0 }"
        )
