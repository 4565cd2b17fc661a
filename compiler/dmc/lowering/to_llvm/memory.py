"""Loads, stores and views: addresses are sums of the access's affine terms, shared in a region."""

from __future__ import annotations

from dmc.dialects import loop
from dmc.dialects.loop.memory import Access, Lanes
from dmc.ir.operation import Operation, Value
from dmc.ir.types import DType, MemRefType
from dmc.lowering import llvm_ir as ir
from dmc.lowering.to_llvm.function import FunctionLowering, Table
from dmc.lowering.to_llvm.types import (
    I1,
    I8,
    I32,
    VOID,
    integer,
    lanes_of,
    repeated,
    shaped,
    stored,
)


def _memref(value: Value) -> MemRefType:
    assert isinstance(value.type, MemRefType)
    return value.type


def _address(f: FunctionLowering, op: Access) -> ir.Value:
    """The address of the element that `op` names.

    Values from outer regions are added first, so that their sums leave inner loops, and the
    constant last, where it becomes a displacement.
    """
    type_ = _memref(op.memref)
    coefficients = [0] * op.map.dimensions
    constant = 0
    for stride, subscript in zip(loop.strides_of(type_), op.map.results, strict=True):
        constant += stride * subscript.constant
        for d, c in enumerate(subscript.coefficients):
            coefficients[d] += stride * c
    element = stored(type_.dtype)
    address = f.value(op.memref)
    terms = [(v, c) for v, c in zip(op.subscripts, coefficients, strict=True) if c]
    for value, coefficient in sorted(terms, key=lambda term: _depth(term[0])):
        address = f.offset(address, element, f.value(value), coefficient)
    return f.offset(address, element, None, constant)


def _depth(value: Value) -> int:
    """How many operations enclose the definition of `value`."""
    depth = 0
    block = value.parent_block
    while block is not None and block.parent_op is not None:
        depth += 1
        block = block.parent_op.parent
    return depth


def _from_memory(f: FunctionLowering, value: ir.Value, dtype: DType, lanes: int) -> ir.Value:
    return f.builder.trunc(value, shaped(I1, lanes)) if dtype is DType.BOOL else value


def _to_memory(f: FunctionLowering, value: ir.Value, dtype: DType, lanes: int) -> ir.Value:
    return f.builder.zext(value, shaped(I8, lanes)) if dtype is DType.BOOL else value


def _load(f: FunctionLowering, op: Operation) -> None:
    assert isinstance(op, loop.Load | loop.VectorLoad)
    dtype = _memref(op.memref).dtype
    lanes = op.lanes if isinstance(op, loop.VectorLoad) else 1
    loaded = f.builder.load(_address(f, op), typ=_register(dtype, op.results[0]), align=dtype.bytes)
    f.set(op, _from_memory(f, loaded, dtype, lanes))


def _register(dtype: DType, value: Value) -> ir.Type:
    """How a value (a vector, even of one lane, stays one) lies in memory."""
    lanes = lanes_of(value.type)
    return shaped(stored(dtype), lanes)


def _store(f: FunctionLowering, op: Operation) -> None:
    assert isinstance(op, loop.Store | loop.VectorStore)
    dtype = _memref(op.memref).dtype
    value = _to_memory(f, f.value(op.value), dtype, lanes_of(op.value.type))
    f.builder.store(value, _address(f, op), align=dtype.bytes)


def _masked_load(f: FunctionLowering, op: Operation) -> None:
    assert isinstance(op, loop.MaskedLoad)
    dtype = _memref(op.memref).dtype
    type_ = shaped(stored(dtype), op.lanes)
    operands = [
        _address(f, op),
        integer(dtype.bytes, I32),
        f.value(op.mask),
        ir.Constant(type_, None),
    ]
    suffixes = [_suffix(type_), "p0"]
    loaded = f.intrinsic("masked.load", type_, operands, suffixes)
    f.set(op, _from_memory(f, loaded, dtype, op.lanes))


def _masked_store(f: FunctionLowering, op: Operation) -> None:
    assert isinstance(op, loop.MaskedStore)
    dtype = _memref(op.memref).dtype
    lanes = lanes_of(op.value.type)
    value = _to_memory(f, f.value(op.value), dtype, lanes)
    operands = [value, _address(f, op), integer(dtype.bytes, I32), f.value(op.mask)]
    f.intrinsic("masked.store", VOID, operands, [_suffix(shaped(stored(dtype), lanes)), "p0"])


def _gather(f: FunctionLowering, op: Operation) -> None:
    assert isinstance(op, loop.Gather)
    dtype = _memref(op.memref).dtype
    lanes = lanes_of(op.offsets.type)
    type_ = shaped(stored(dtype), lanes)
    operands = [
        _lane_addresses(f, op, op.offsets),
        integer(dtype.bytes, I32),
        f.value(op.mask),
        ir.Constant(type_, None),
    ]
    loaded = f.intrinsic("masked.gather", type_, operands, [_suffix(type_), f"v{lanes}p0"])
    f.set(op, _from_memory(f, loaded, dtype, lanes))


def _scatter(f: FunctionLowering, op: Operation) -> None:
    assert isinstance(op, loop.Scatter)
    dtype = _memref(op.memref).dtype
    lanes = lanes_of(op.offsets.type)
    value = _to_memory(f, f.value(op.value), dtype, lanes)
    operands = [
        value,
        _lane_addresses(f, op, op.offsets),
        integer(dtype.bytes, I32),
        f.value(op.mask),
    ]
    type_ = shaped(stored(dtype), lanes)
    f.intrinsic("masked.scatter", VOID, operands, [_suffix(type_), f"v{lanes}p0"])


def _lane_addresses(f: FunctionLowering, op: Lanes, offsets: Value) -> ir.Value:
    """One address for each lane."""
    type_ = _memref(op.memref)
    stride = loop.strides_of(type_)[op.axis]
    amount = f.value(offsets)
    if stride != 1:
        factor = repeated(integer(stride), lanes_of(offsets.type))
        amount = f.builder.mul(amount, factor)
    return f.builder.gep(_address(f, op), [amount], source_etype=stored(type_.dtype))


def _suffix(type_: ir.Type) -> str:
    """How LLVM mangles a vector type into the name of an intrinsic."""
    assert isinstance(type_, ir.VectorType)
    names = {"float": "f32", "double": "f64"}
    element = str(type_.element)
    return f"v{type_.count}{names.get(element, element)}"


def _view(f: FunctionLowering, op: Operation) -> None:
    assert isinstance(op, loop.View)
    f.set(op, f.offset(f.value(op.arena), I8, None, op.offset))


def _subview(f: FunctionLowering, op: Operation) -> None:
    assert isinstance(op, loop.SubView)
    f.set(op, _address(f, op))


def _global(f: FunctionLowering, op: Operation) -> None:
    assert isinstance(op, loop.Global)
    f.set(op, f.owner.constant_data(op.value))


MEMORY: Table = {
    loop.Gather: _gather,
    loop.Global: _global,
    loop.Load: _load,
    loop.MaskedLoad: _masked_load,
    loop.MaskedStore: _masked_store,
    loop.Scatter: _scatter,
    loop.Store: _store,
    loop.SubView: _subview,
    loop.VectorLoad: _load,
    loop.VectorStore: _store,
    loop.View: _view,
}
