"""Sums of whole numbers in a float type that does not hold them."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from dmc.diagnostics.diagnostic import Diagnostic
from dmc.dialects import arith, math, tensor
from dmc.dialects.elementwise import constant_array, elements_of
from dmc.dialects.flow import ControlFlow, flow_of
from dmc.dialects.tensor.reduction import Kind
from dmc.dialects.value_ranges import Ranges
from dmc.ir import DType, Value, dtype_of, shape_of
from dmc.lints.instances import InstanceOfFunction
from dmc.lints.warning import quote, warning
from dmc.semantics.program import SourceModule

_CLOSED = (
    arith.Add, arith.Subtract, arith.Multiply, arith.Negate, arith.Abs, arith.Sign, arith.Relu,
    arith.Maximum, arith.Minimum, arith.Convert, tensor.BroadcastInDim, tensor.Reshape,
    tensor.Transpose, tensor.Slice, tensor.Reverse, tensor.Extract, tensor.Reduce,
)  # fmt: skip
"""Operations that give whole numbers from whole numbers."""

_ROUNDING = (math.Floor, math.Ceil, math.Round)


_BITS = {DType.BF16: 8, DType.F16: 11, DType.F32: 24, DType.F64: 53}
"""Of the significand: up to this power of 2 a float type holds every whole number."""


def is_whole(value: Value) -> bool:
    """Whether all elements are known to be whole numbers."""
    pending, seen = [value], {value}
    while pending:
        at = pending.pop()
        if not dtype_of(at.type).is_float:
            continue
        op, array = at.defining_op, elements_of(at)
        if array is not None:
            if not bool(np.all(np.rint(array) == array)):
                return False
            continue
        if isinstance(op, _ROUNDING):
            continue
        flow = flow_of(at) if isinstance(op, ControlFlow) else None
        if flow is not None and not flow.repeats:
            inner = flow.origins
        elif isinstance(op, _CLOSED):
            inner = list(op.operands)
        elif isinstance(op, arith.Select):
            inner = [op.on_true, op.on_false]
        else:
            return False
        pending += [v for v in inner if v not in seen]
        seen.update(inner)
    return True


def inexact_sums(instance: InstanceOfFunction, file: SourceModule) -> Iterator[Diagnostic]:
    """Sums that may pass the largest whole number up to which a float type holds them all."""
    ranges = Ranges()
    for op in instance.function.walk():
        span = op.location.span
        if not isinstance(op, tensor.Reduce) or op.kind is not Kind.SUM:
            continue
        if span is None or span.file is not file.source or not dtype_of(op.result.type).is_float:
            continue
        dtype, found = dtype_of(op.operand.type), ranges.range(op.operand)
        bits = _BITS[dtype]
        count = prod(shape_of(op.operand.type)[d] for d in op.dimensions)
        most = count * max(abs(found.low), abs(found.high))
        counts = is_whole(op.operand) and not _is_averaged(op.result)
        if found.is_finite and most > 2**bits and counts:
            yield warning(
                "lint.sum",
                f"a sum of whole numbers passes 2^{bits}, up to which {dtype.value} holds them",
                (span, f"it can be up to {most:.3g}"),
                f"sum in f64: `{dtype.value}({_wide(quote(span), dtype)})`",
            )


def _is_averaged(total: Value) -> bool:
    """Whether all that becomes of a sum is a share of it, which is rounded anyhow."""
    users = list(total.users)
    return bool(users) and all(
        isinstance(user, arith.Divide | arith.Multiply)
        and any(constant_array(v) is not None for v in user.operands if v is not total)
        for user in users
    )


def _wide(text: str, dtype: DType) -> str:
    """A call that sums, of f64: what is converted there is converted to f64 instead."""
    wide = text.replace(f"{dtype.value}(", "f64(")
    if wide != text or not text.endswith(")"):
        return wide
    depth, place = 0, len(text)
    while place > 0:
        place -= 1
        depth += (text[place] == ")") - (text[place] == "(")
        if depth == 0:
            break
    return f"{text[:place]}(f64({text[place + 1 : -1]}))"
