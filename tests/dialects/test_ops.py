"""Every operation × every aspect, and that the checks catch wrong rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

import dmc.dialects  # noqa: F401  (all operations are registered)
from dmc.dialects import arith, math
from dmc.dialects.elementwise import Elementwise, Scale, X
from dmc.dialects.ranges import Range
from dmc.ir import (
    Batched,
    Builder,
    DenseElements,
    DType,
    Module,
    Value,
    operand,
    result,
    verify,
)
from dmc.ir.parser import parse_module
from dmc.ir.printer import print_module
from tests.dialects import checks
from tests.dialects.checks import Draw, Sample
from tests.dialects.op_table import ASPECTS, ROWS, operations
from tests.transforms.programs import add_function

CHECKS: dict[str, Callable[[Sample], None]] = {
    "runs": checks.check_runs,
    "fold": checks.check_fold,
    "tangent": checks.check_tangent,
    "adjoint": checks.check_adjoint,
    "second order": checks.check_second_order,
    "batch": checks.check_batch,
    "cost": checks.check_cost,
}


def test_every_operation_has_a_row() -> None:
    assert set(operations()) == {row.op for row in ROWS}


def test_rows_have_distinct_names() -> None:
    assert len({str(row) for row in ROWS}) == len(ROWS)


def test_every_aspect_has_a_check() -> None:
    assert set(ASPECTS) == set(CHECKS)


@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_rule(row: Sample, aspect: str) -> None:
    CHECKS[aspect](row)


def test_ranges_hold_what_is_computed() -> None:
    for row in ROWS:
        checks.check_range(row)


def test_a_wrong_range_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(math.Sin, "image", Range(0.0, 0.5))
    with pytest.raises(AssertionError):
        checks.check_range(next(row for row in ROWS if row.op == "math.sin"))


@pytest.mark.parametrize("dtype", [DType.F32, DType.F16], ids=repr)
@pytest.mark.parametrize("row", [row for row in ROWS if checks.floats_of(row)], ids=str)
def test_rules_keep_the_precision(row: Sample, dtype: DType) -> None:
    """Results, tangents and cotangents of narrow floats are narrow; values agree roughly."""
    narrow = row.with_dtype(dtype)
    checks.check_runs(narrow)
    checks.check_adjoint(narrow, 1e-3 if dtype is DType.F32 else 0.3)


@pytest.mark.parametrize("generic", [False, True], ids=["pretty", "generic"])
def test_text_round_trips(generic: bool) -> None:
    """All rows as functions of one module: printed, parsed and printed again."""
    module = Module.empty()
    for row in ROWS:

        def code(builder: Builder, values: list[Value], row: Sample = row) -> Sequence[Value]:
            out = row.build(builder, *values)
            return [out] if isinstance(out, Value) else out

        name = module.fresh_name(row.op.replace(".", "_"))
        add_function(module, name, [draw.type for draw in row.inputs], code)
    text = print_module(module, generic=generic)
    again = parse_module(text)
    verify(again)
    assert print_module(again, generic=generic) == text


class Planted(Elementwise):
    """Squares; each subclass gets one rule wrong."""

    operand = operand()
    result = result()
    terms = (Scale(2.0 * X),)

    @staticmethod
    def numpy(x: checks.Array) -> checks.Array:
        return x * x


class WrongTangent(Planted):
    name = "planted.wrong_tangent"
    terms = (Scale(3.0 * X),)


class WrongAdjoint(Planted):
    name = "planted.wrong_adjoint"

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        (y,) = cotangents
        return (None if y is None else arith.multiply(builder, y, self.operand),)


class WrongSecondOrder(Planted):
    """The first derivative is right, but written so that it seems constant."""

    name = "planted.wrong_second_order"

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        (x,) = tangents
        return (None if x is None else self._twice(builder, x),)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        return self.tangent(builder, cotangents)

    def _twice(self, builder: Builder, x: Value) -> Value:
        hidden = builder.insert(Hidden([self.operand])).result
        return arith.multiply(builder, x, arith.add(builder, hidden, hidden))


class Hidden(Planted):
    """The identity, without a derivative."""

    name = "planted.hidden"
    terms = (None,)

    @staticmethod
    def numpy(x: checks.Array) -> checks.Array:
        return x


class WrongBatch(Planted):
    name = "planted.wrong_batch"

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        (out,) = super().batch(builder, operands)
        return (Batched(arith.negate(builder, out.value), out.axes),)


class WrongFold(Planted):
    name = "planted.wrong_fold"

    def fold(self) -> list[DenseElements]:
        return [DenseElements.splat(0.5, checks.TensorType((2, 3), DType.F64))]


PLANTED = [
    (WrongTangent, "tangent"),
    (WrongAdjoint, "adjoint"),
    (WrongSecondOrder, "second order"),
    (WrongBatch, "batch"),
    (WrongFold, "fold"),
]


@pytest.mark.parametrize(("cls", "aspect"), PLANTED, ids=[aspect for _, aspect in PLANTED])
def test_planted_errors_are_caught(cls: type[Planted], aspect: str) -> None:
    row = Sample(cls.name, lambda b, x: b.insert(cls([x])).result, (Draw((2, 3)),))
    for other, check in CHECKS.items():
        if other == aspect:
            with pytest.raises(AssertionError):
                check(row)
        elif aspect != "tangent":
            check(row)
