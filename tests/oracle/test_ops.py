"""Value, tangent and adjoint of every operation against JAX."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dmc.dialects.elementwise import Elementwise, Keep, Negated, Same, Scale, Term
from dmc.ir import Array, DType, Operation
from tests.dialects.checks import (
    Draw,
    Sample,
    floats_of,
    program,
    pull_back,
    push_forward,
)
from tests.dialects.op_table import ROWS
from tests.dialects.rows_elementwise import of
from tests.oracle.jax_ops import MEANINGS
from tests.oracle.op_errors import OpErrors, op_errors
from tests.oracle.peers import jax, jnp

pytestmark = pytest.mark.oracle

COMPARED = [row for row in ROWS if not row.op.startswith("random.")]
"""Draws are held against the runtime and NumPy in test_random.py."""

COMPUTED = ("arith.", "math.", "tensor.reduce", "tensor.dot_general", "tensor.cum")
"""Operations whose results are rounded; the others only move elements."""

ELSEWHERE = {
    "math.trigamma-negative": "JAX has no polygamma of negative numbers; see test_special.py",
    "math.digamma-negative": "as its derivative is trigamma",
    "math.polygamma-2 negative": "as those of trigamma",
    "math.polygamma-3 negative": "as those of trigamma",
}


def assert_within(errors: OpErrors, tolerance: float) -> None:
    assert errors.value <= tolerance, errors
    assert errors.tangent <= tolerance, errors
    assert errors.adjoint <= tolerance, errors


def test_every_operation_has_a_meaning() -> None:
    assert {row.op for row in COMPARED} == MEANINGS.keys()


@pytest.mark.parametrize("row", COMPARED, ids=str)
def test_f64(row: Sample) -> None:
    if str(row) in ELSEWHERE:
        pytest.skip(ELSEWHERE[str(row)])
    assert_within(op_errors(row), 1e-12)


@pytest.mark.parametrize(
    "row", [row for row in COMPARED if floats_of(row) and row.op.startswith(COMPUTED)], ids=str
)
def test_f32(row: Sample) -> None:
    if str(row) in ELSEWHERE:
        pytest.skip(ELSEWHERE[str(row)])
    assert_within(op_errors(row, DType.F32), 5e-6)


# Where the derivative is a matter of convention


def derivatives(name: str, *operands: float) -> list[float]:
    """Our partial derivatives at a point, which both modes must agree on."""
    arrays: list[Array] = [np.array([x]) for x in operands]
    sample = Sample(name, of(name), (Draw((1,)),) * len(operands))
    out: list[float] = []
    for i in range(len(operands)):
        made = program(sample)
        one = made.vector(made.op.results[0].type)
        tangents = {made.inputs[i]: one}
        push_forward(made.builder, [made.op], tangents)
        bars = pull_back(made, [one])
        tangent, bar = tangents.get(made.op.results[0]), bars[i]
        ours = [0.0 if v is None else made.run([*arrays, np.ones(1)], [v])[0].item()
                for v in (tangent, bar)]  # fmt: skip
        assert ours[0] == ours[1]
        out.append(ours[0])
    return out


def jax_derivatives(name: str, *operands: float) -> list[float]:
    def function(*x: float) -> object:
        return MEANINGS[name](None, *x)

    at = [jnp.float64(x) for x in operands]
    return [float(g) for g in jax.grad(function, tuple(range(len(at))))(*at)]


@pytest.mark.parametrize(
    ("name", "operands", "ours", "of_jax"),
    [
        ("arith.maximum", (1.0, 1.0), [1.0, 0.0], [0.5, 0.5]),
        ("arith.minimum", (1.0, 1.0), [1.0, 0.0], [0.5, 0.5]),
        ("arith.relu", (0.0,), [0.0], [0.0]),
        ("arith.abs", (0.0,), [0.0], [1.0]),
        ("math.power", (0.0, 2.0), [0.0, 0.0], [0.0, 0.0]),
        ("math.power", (0.0, 1.0), [1.0, 0.0], [1.0, 0.0]),
    ],
    ids=str,
)
def test_conventions(
    name: str, operands: tuple[float, ...], ours: list[float], of_jax: list[float]
) -> None:
    """Ties go to the first operand, and corners at 0 to 0; JAX shares or picks a side."""
    assert derivatives(name, *operands) == ours
    assert jax_derivatives(name, *operands) == of_jax


def test_the_first_of_equal_elements_gets_the_derivative() -> None:
    """JAX spreads it over all of them."""
    rows = [row for row in ROWS if str(row) in ("tensor.reduce-max (1,)", "tensor.reduce-min (1,)")]
    assert len(rows) == 2
    for row in rows:
        made = program(row)
        (bar,) = pull_back(made, [made.vector(made.op.results[0].type)])
        assert bar is not None
        (got,) = made.run([np.zeros((2, 3, 4)), np.ones((2, 4))], [bar])
        assert got[:, 0].tolist() == np.ones((2, 4)).tolist()
        assert not got[:, 1:].any()
    spread = jax.grad(jnp.max)(jnp.zeros(4))
    assert spread.tolist() == [0.25] * 4


# Wrong rules must be caught


def spoilt(term: Term) -> Term | None:
    """A slightly wrong term, the same in both modes, so they still agree with each other."""
    match term:
        case Scale(partial):
            return Scale(partial * 1.0001)
        case Keep(condition, negate):
            return Keep(condition, not negate)
        case Same():
            return Negated()
        case Negated():
            return Same()
        case _:
            return None


def smooth_rows() -> list[tuple[Sample, int]]:
    """One row for each operation with a derivative, and the operands it has one in."""
    rows: list[tuple[Sample, int]] = []
    for name, same in itertools.groupby(COMPARED, lambda row: row.op):
        cls = Operation.registry[name]
        row = next((row for row in same if floats_of(row)), None)
        if row is None or not issubclass(cls, Elementwise) or isinstance(cls.terms, property):
            continue  # `convert` makes its term from its types
        rows += [(row, i) for i, term in enumerate(cls.terms) if term is not None]
    return rows


@pytest.mark.parametrize(("row", "operand"), smooth_rows(), ids=str)
def test_a_wrong_term_is_caught(row: Sample, operand: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tangent and adjoint come from one term, so only an independent system sees it is wrong."""
    cls = Operation.registry[row.op]
    assert issubclass(cls, Elementwise)
    terms = list(cls.terms)
    term = terms[operand]
    assert term is not None
    terms[operand] = spoilt(term)
    monkeypatch.setattr(cls, "terms", tuple(terms))
    errors = op_errors(row)
    assert errors.value <= 1e-12
    assert errors.tangent > 1e-6
    assert errors.adjoint > 1e-6
