"""Tapes: calls of the functions that keep their blocks."""

from __future__ import annotations

from dmc.dialects import loop
from dmc.dialects.loop.tape import FAILED, LEFT, NEWEST, WORD
from dmc.ir.operation import Operation
from dmc.ir.types import MemRefType
from dmc.lowering import llvm_ir as ir
from dmc.lowering.to_llvm.function import FunctionLowering, Table
from dmc.lowering.to_llvm.types import I8, I64, POINTER, VOID, integer

TAPE_RESIZE = "dmc_tape_resize"
"""`i64 (root, i64 address, i64 count, i64 bytes)`: the address of a block, or 0."""
TAPE_RELEASE = "dmc_tape_release"
"""`void (root, i64 mark)`."""


def _word(f: FunctionLowering, root: ir.Value, number: int) -> ir.Value:
    return f.builder.gep(root, [integer(number)], inbounds=True, source_etype=I64)


def _open(f: FunctionLowering, op: Operation) -> None:
    """A root with none around has the word that says whether memory has run out."""
    assert isinstance(op, loop.TapeOpen)
    b, root = f.builder, f.value(op.root)
    f.root = root if f.root is None else f.root
    b.store(integer(0), _word(f, root, NEWEST))
    if op.around:
        place = b.load(_word(f, f.value(op.around[0]), WORD), typ=POINTER)
    else:
        place = f.failed = _word(f, root, FAILED)
        b.store(integer(0), place)
        b.store(integer(op.most), _word(f, root, LEFT))
    b.store(place, _word(f, root, WORD))


def _resize(f: FunctionLowering, op: Operation) -> None:
    assert isinstance(op, loop.TapeResize)
    resize = f.owner.external(TAPE_RESIZE, I64, [POINTER, I64, I64, I64])
    operands = [*(f.value(v) for v in op.operands), integer(op.bytes)]
    f.set(op, f.builder.call(resize, operands))


def _element(f: FunctionLowering, op: Operation) -> None:
    assert isinstance(op, loop.TapeElement)
    assert isinstance(op.type, MemRefType)
    block = f.builder.inttoptr(f.value(op.address), POINTER)
    f.set(op, f.offset(block, I8, f.value(op.index), op.type.bytes))


def _failed(f: FunctionLowering, op: Operation) -> None:
    assert isinstance(op, loop.TapeFailed)
    place = f.builder.load(_word(f, f.value(op.root), WORD), typ=POINTER)
    word = f.builder.load_atomic(place, "monotonic", 8, typ=I64)
    f.set(op, f.builder.icmp_unsigned("!=", word, integer(0)))


def release(f: FunctionLowering, root: ir.Value, mark: ir.Value) -> None:
    """Free what was made since `mark`; 0: all."""
    function = f.owner.external(TAPE_RELEASE, VOID, [POINTER, I64])
    f.builder.call(function, [root, mark])


def _release(f: FunctionLowering, op: Operation) -> None:
    assert isinstance(op, loop.TapeRelease)
    release(f, *(f.value(v) for v in op.operands))


TAPE: Table = {
    loop.TapeElement: _element,
    loop.TapeFailed: _failed,
    loop.TapeOpen: _open,
    loop.TapeRelease: _release,
    loop.TapeResize: _resize,
}
