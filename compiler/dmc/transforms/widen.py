"""Operations on f16 and bf16 become operations on f32 with conversions around them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dmc.dialects import arith, linalg, tensor
from dmc.ir import Builder, DType, Module, Operation, Value, dtype_of, with_dtype
from dmc.ir.passes import Pass
from dmc.ir.rewriter import replace_op
from dmc.transforms.common import is_loop


@dataclass(frozen=True)
class WidenSums(Pass):
    """Rewrite what sums, sorts or factorizes f16 and bf16, each as one operation.

    Elementwise operations stay; kernels widen what they reduce, and `widen` what is left.
    """

    name = "widen-sums"

    def run(self, module: Module) -> None:
        widen(module, _is_whole)


def _is_whole(op: Operation) -> bool:
    if isinstance(op, tensor.Scatter):
        # In a loop all of a table would be converted each time.
        return not any(map(is_loop, _around(op)))
    return isinstance(
        op,
        tensor.Accumulate
        | tensor.Sort
        | tensor.ArgSort
        | tensor.TopK
        | linalg.Composed
        | linalg.Factorization,
    )


def _around(op: Operation) -> list[Operation]:
    parent = op.parent_op
    return [] if parent is None else [parent, *_around(parent)]


def widen(module: Module, concerns: Callable[[Operation], bool] = lambda op: True) -> None:
    """Rewrite those operations that compute with f16 or bf16."""
    wide: dict[Value, Value] = {}
    for op in list(module.walk()):
        values = (*op.operands, *op.results)
        if op.computes and any(_is_half(value) for value in values) and concerns(op):
            _widen(op, wide)


def _is_half(value: Value) -> bool:
    try:
        return dtype_of(value.type).is_half
    except TypeError:
        return False


def _widen(op: Operation, wide: dict[Value, Value]) -> None:
    operands = [_wide(value, wide) if _is_half(value) else value for value in op.operands]
    types = [
        with_dtype(value.type, DType.F32) if _is_half(value) else value.type for value in op.results
    ]
    builder = Builder.ahead_of(op)
    names = [value.name for value in op.results]
    new = builder.insert(type(op)(operands, op.attributes, (), types, op.location, names))
    results = [
        arith.convert(builder, made, dtype_of(old.type))
        for made, old in zip(new.results, op.results, strict=True)
    ]
    replace_op(op, results)


def _wide(value: Value, known: dict[Value, Value]) -> Value:
    """The value in f32, converted where it is defined, once."""
    if value not in known:
        op, block = value.defining_op, value.parent_block
        assert block is not None
        builder = Builder(block, block.first if op is None else op.next)
        if op is not None:
            builder.location = op.location
        if isinstance(op, arith.Constant) and isinstance(number := op.attributes["value"], float):
            known[value] = arith.constant(builder, number, with_dtype(value.type, DType.F32))
        else:
            known[value] = arith.convert(builder, value, DType.F32)
    return known[value]
