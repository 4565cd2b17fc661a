"""Vector shuffles, masks and the fused multiply-add."""

from __future__ import annotations

from dmc.dialects import loop
from dmc.ir.operation import Operation, Value
from dmc.ir.types import dtype_of
from dmc.lowering import llvm_ir as ir
from dmc.lowering import vector_math
from dmc.lowering.to_llvm.function import FunctionLowering, Table
from dmc.lowering.to_llvm.types import (
    I32,
    I64,
    integer,
    lane_numbers,
    lanes_of,
    llvm_type,
)


def spread(f: FunctionLowering, scalar: ir.Value, lanes: int) -> ir.Value:
    """`scalar` in every lane of a vector."""
    type_ = ir.VectorType(scalar.type, lanes)
    first = f.builder.insert_element(ir.Constant(type_, ir.Undefined), scalar, integer(0, I32))
    order = ir.Constant(ir.VectorType(I32, lanes), None)
    return f.builder.shuffle_vector(first, ir.Constant(type_, ir.Undefined), order)


def _broadcast(f: FunctionLowering, op: Operation) -> None:
    assert isinstance(op, loop.Broadcast)
    f.set(op, spread(f, f.value(op.scalar), op.lanes))


def _extract_lane(f: FunctionLowering, op: Operation) -> None:
    assert isinstance(op, loop.ExtractLane)
    f.set(op, f.builder.extract_element(f.value(op.vector), integer(op.lane, I32)))


def _slice_vector(f: FunctionLowering, op: Operation) -> None:
    assert isinstance(op, loop.SliceVector)
    vector = f.value(op.vector)
    order = lane_numbers(tuple(range(op.start, op.start + op.lanes)))
    f.set(op, f.builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), order))


def _shuffle(f: FunctionLowering, op: Operation) -> None:
    assert isinstance(op, loop.Shuffle)
    first, second = f.value(op.first), f.value(op.second)
    f.set(op, f.builder.shuffle_vector(first, second, lane_numbers(op.order)))


def _iota(f: FunctionLowering, op: Operation) -> None:
    assert isinstance(op, loop.IotaVector)
    type_ = ir.VectorType(I64, op.lanes)
    f.set(op, ir.Constant(type_, [op.step * i for i in range(op.lanes)]))


def _tail_mask(f: FunctionLowering, op: Operation) -> None:
    assert isinstance(op, loop.TailMask)
    # In 32 bits, so that as few registers as possible are compared.
    type_ = ir.VectorType(I32, op.lanes)
    lanes = ir.Constant(type_, list(range(op.lanes)))
    count = f.value(op.count)
    limit = integer(op.lanes)
    count = f.builder.select(f.builder.icmp_signed("<", count, limit), count, limit)
    narrow = f.builder.trunc(count, I32)
    f.set(op, f.builder.icmp_signed("<", lanes, spread(f, narrow, op.lanes)))


def _fma(f: FunctionLowering, op: Operation) -> None:
    assert isinstance(op, loop.FusedMultiplyAdd)
    f.set(op, fused(f, op.c, *(f.value(v) for v in op.operands)))


def fused(f: FunctionLowering, like: Value, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """a·b + c, rounded once where the machine can."""
    if not f.machine.has_fma:
        return f.builder.fadd(f.builder.fmul(a, b), c)
    lanes = lanes_of(like.type)
    name = dtype_of(like.type).value
    return f.intrinsic(
        "fma", llvm_type(like.type), [a, b, c], [name if lanes == 1 else f"v{lanes}{name}"]
    )


def _exact_product(f: FunctionLowering, op: Operation) -> None:
    assert isinstance(op, loop.ExactProduct)
    dtype, lanes = dtype_of(op.a.type), lanes_of(op.a.type)
    values = [f.value(v) for v in op.operands]
    f.set(op, *vector_math.exact_product(f.builder, dtype, lanes, *values, machine=f.machine))


VECTOR: Table = {
    loop.Broadcast: _broadcast,
    loop.ExactProduct: _exact_product,
    loop.ExtractLane: _extract_lane,
    loop.FusedMultiplyAdd: _fma,
    loop.IotaVector: _iota,
    loop.Shuffle: _shuffle,
    loop.SliceVector: _slice_vector,
    loop.TailMask: _tail_mask,
}
