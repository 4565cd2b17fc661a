"""Accumulations by gathering give what adding one by one gives, without a scatter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dmc
from dmc.dialects import tensor
from dmc.ir import (
    AffineExpr,
    AffineMap,
    Builder,
    Clamp,
    DType,
    FloorDiv,
    Mod,
    Module,
    TensorType,
    Value,
)
from dmc.ir.affine import read_map
from dmc.transforms.gather_accumulations import GatherAccumulations
from tests.transforms.programs import check, counts, program

F64 = DType.F64

GATHERED = {
    "window": ((4, 3), (6,), "(d0, d1) -> (d0 + d1)"),
    "window beyond the end": ((4, 3), (4,), "(d0, d1) -> (d0 + d1 - 1)"),
    "strided window": ((4, 3), (9,), "(d0, d1) -> (d0 * 2 + d1)"),
    "dilated window": ((4, 3), (8,), "(d0, d1) -> (d0 + d1 * 2)"),
    "correlation": ((4, 3), (6,), "(d0, d1) -> (d0 - d1 + 2)"),
    "clamped": ((5,), (5,), "(d0) -> (clamp(d0 - 1, 0, 4))"),
    "clamped window": ((5, 3), (5,), "(d0, d1) -> (clamp(d0 + d1 - 1, 0, 4))"),
    "clamped on both axes": (
        (4, 3),
        (4, 3),
        "(d0, d1) -> (clamp(d0 + 1, 0, 3), clamp(d1 - 2, 0, 2))",
    ),
    "clamped from far": ((30,), (3,), "(d0) -> (clamp(d0 - 14, 0, 2))"),
    "wrapped": ((5, 3), (5,), "(d0, d1) -> ((d0 + d1) mod 5)"),
    "repeated": ((9,), (5,), "(d0) -> (d0 floordiv 2)"),
    "diagonal": ((4,), (4, 4), "(d0) -> (d0, d0)"),
    "skewed": ((4, 3), (7, 3), "(d0, d1) -> (d0 + d1, d1)"),
    "constant": ((4,), (3, 4), "(d0) -> (1, d0 - 1)"),
}
"""Sizes of the updates, shape, map."""


def accumulation(sizes: tuple[int, ...], shape: tuple[int, ...], map_: AffineMap) -> Module:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        attributes = {"shape": shape, "map": map_}
        return [b.insert(tensor.Accumulate(args, attributes)).result]

    return program([TensorType(sizes, F64)], code)


@pytest.mark.parametrize(("sizes", "shape", "text"), GATHERED.values(), ids=GATHERED.keys())
def test_gathered(sizes: tuple[int, ...], shape: tuple[int, ...], text: str) -> None:
    module = check(accumulation(sizes, shape, read_map(text)), GatherAccumulations())
    found = counts(module)
    assert found["tensor.accumulate"] == found["tensor.scatter"] == 0


@pytest.mark.parametrize(
    ("size", "text"),
    [(5, "(d0, d1) -> ((d0 + 3) mod 5, d1)"), (5, "(d0, d1) -> ((2 - d0) mod 5, (d1 - 1) mod 4)"),
     (3, "(d0, d1) -> (d1, (d0 - 4) mod 5)")],
)  # fmt: skip
def test_shifts_around_a_ring_stay_shifts(size: int, text: str) -> None:
    """Each element has one update, so there is nothing to sum."""
    map_ = read_map(text)
    shape = (5, 4) if map_.results[0].terms else (4, 5)
    module = check(accumulation((size, 4), shape, map_), GatherAccumulations())
    assert counts(module)["tensor.reduce"] == counts(module)["tensor.scatter"] == 0


def test_what_would_be_visited_too_often_is_scattered() -> None:
    module = accumulation((10, 10), (2000,), read_map("(d0, d1) -> (d0 + d1 * 200)"))
    assert counts(check(module, GatherAccumulations()))["tensor.scatter"] == 1


def test_what_is_scattered_stays_so_in_the_pipeline() -> None:
    """A stride that wraps: its remainder has no pivot of a unit multiple."""
    program = dmc.loads(
        "fn f[M](x: f64[M]) -> f64 = sum[i in 0..2, j in 0..5](x[(2 * j + i) % M] ** 2)\n"
    )
    for size in range(1, 9):
        x = np.arange(1.0, size + 1)
        wanted = np.zeros(size)
        for position in (2 * j + i for i in range(2) for j in range(5)):
            wanted[position % size] += 2 * x[position % size]
        np.testing.assert_allclose(dmc.grad(program.f)(x), wanted)


@st.composite
def maps(draw: st.DrawFn, sizes: tuple[int, ...], axes: int) -> AffineMap:
    rank = len(sizes)

    def subscript() -> AffineExpr:
        steps = [draw(st.sampled_from([0, 0, 1, 1, -1, 2, 3])) for _ in sizes]
        expr = AffineExpr(tuple(steps), draw(st.integers(-3, 3)))
        match draw(st.integers(0, 5)):
            case 0:
                term = Clamp(expr, draw(st.integers(-1, 1)), draw(st.integers(1, 4)))
            case 1:
                term = Mod(expr, draw(st.integers(1, 4)))
            case 2:
                term = FloorDiv(expr, draw(st.integers(1, 4)))
            case _:
                return expr
        return AffineExpr((0,) * rank, draw(st.integers(-1, 1)), ((1, term),))

    return AffineMap(rank, tuple(subscript() for _ in range(axes)))


@settings(max_examples=150)
@given(st.data())
def test_any_accumulation(data: st.DataObject) -> None:
    sizes = tuple(data.draw(st.lists(st.integers(0, 5), min_size=0, max_size=3)))
    shape = tuple(data.draw(st.lists(st.integers(1, 6), min_size=0, max_size=3)))
    map_ = data.draw(maps(sizes, len(shape)))
    check(accumulation(sizes, shape, map_), GatherAccumulations())
