"""The operations of a kernel-level block, one after another, as loop-level code."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from dmc.diagnostics.errors import CompilerBug
from dmc.dialects import arith, control, func, kernel, loop
from dmc.ir.attributes import DenseElements
from dmc.ir.declarations import Trait
from dmc.ir.operation import Block, Operation, Value
from dmc.ir.types import DType, MemRefType, ScalarType, TapeType, TensorType
from dmc.lowering.buffers import Buffers
from dmc.lowering.kernels import EMIT, PRODUCER, KernelFunctions
from dmc.lowering.loop_builder import LoopBuilder, Subscript, clone_elementwise
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.body import clamp
from dmc.lowering.schedules.movement import copy
from dmc.lowering.tapes import Roots, keeps_tapes
from dmc.transforms.memory import Kind, Place, place_of

Table: TypeAlias = "dict[type[Operation], Callable[[Statements, Operation], None]]"
"""How operations that are no kernels are lowered, by class."""

IN_PLACE = (kernel.UpdateWindow, kernel.Scatter)
"""Kernels whose schedules expect the target's elements in the output's buffer."""


class Statements:
    """Lowers blocks; `values` has the register or buffer of every kernel-level value so far.

    Where a tensor lies is what the memory plan says. Without a plan, `wanted` has the buffer a
    value should be computed in where that is known beforehand (what a function returns, a slice
    of a stacked result), and all else gets fresh memory. `slices` has, for each loop around, what
    its current iteration adds to the stacked results, by result.
    """

    def __init__(
        self,
        b: LoopBuilder,
        machine: Machine,
        functions: KernelFunctions,
        buffers: Buffers,
        table: Table,
    ) -> None:
        self.table = table
        self.b = b
        self.machine = machine
        self.functions = functions
        self.buffers = buffers
        self.tapes = Roots(b)
        self.values: dict[Value, Value] = {}
        self.wanted: dict[Value, Value] = {}
        self.arguments: Sequence[Value] = ()
        self.results: Sequence[Value] = ()
        self.slices: list[Sequence[Value | None]] = []

    @property
    def parallel(self) -> bool:
        """Whether parallel loops may be started here: not inside a task."""
        return not self.buffers.in_task

    def run_function(
        self, source: func.Func, arguments: Sequence[Value], results: Sequence[Value]
    ) -> list[int | None]:
        """The body of a function whose arguments and results are in buffers.

        Returns for each result the argument whose buffer it overwrites, or None.
        """
        self.arguments, self.results = arguments, results
        for value, buffer in zip(source.body.args, arguments, strict=True):
            is_scalar = _type(value).rank == 0
            self.values[value] = self.b.load(buffer, []) if is_scalar else buffer
        given = [arguments[i] for i in source.donated or ()]
        overwrites: list[int | None] = []
        targets: list[Value | None] = []
        for value, result in zip(source.body.terminator.operands, results, strict=True):
            planned = _planned(value)
            taken = planned is not None and planned.kind is Kind.ARGUMENT
            overwrites.append(planned.index if planned is not None and taken else None)
            targets.append(None if taken else result)
        with self.tapes.opened(keeps_tapes(source), source.tape_bytes):
            self.run_into(source.body, targets)
        assert all(arguments[i] in given for i in overwrites if i is not None)
        return overwrites

    def run_into(self, block: Block, targets: Sequence[Value | None]) -> list[Value]:
        """Run `block`; put what it yields into `targets` where there is one, and return it."""
        returned = block.terminator.operands
        for value, target in zip(returned, targets, strict=True):
            if target is not None:
                self._want(block, value, target)
        self.run(block)
        yielded = [self.values[v] for v in returned]
        for value, target in zip(yielded, targets, strict=True):
            if target is not None:
                self.copy(value, target)
        return yielded

    @contextmanager
    def iteration(self, targets: Sequence[Value | None] = ()) -> Generator[None]:
        """Within is an iteration of a loop that writes `targets` of its stacked results."""
        self.slices.append(targets)
        try:
            yield
        finally:
            self.slices.pop()

    def _want(self, block: Block, value: Value, target: Value) -> None:
        """Compute `value`, if this block does, into `target`; through views too."""
        op = value.defining_op
        if op is None or op.parent is not block or value in self.wanted:
            return
        if isinstance(op, kernel.View):
            if _type(op.source).rank > 0 and _type(value).rank > 0:
                type_ = buffer_type(op.source)
                self._want(block, op.source, self._reshape(target, type_))
            return
        self.wanted[value] = target

    def run(self, block: Block) -> None:
        """Run the operations of `block` up to its terminator."""
        for op in block:
            if op.has(Trait.TERMINATOR):
                return
            with self.b.builder.at(op.location.by(PRODUCER)):
                self.operation(op)

    def operation(self, op: Operation) -> None:
        statement = self.table.get(type(op))
        if statement is not None:
            statement(self, op)
        elif type(op) in EMIT:
            self._kernel(op)
        elif op.has(Trait.ELEMENTWISE) and all(_type(v).rank == 0 for v in op.results):
            results = clone_elementwise(self.b, op, [self.values[v] for v in op.operands])
            self.set(op, results)
        else:
            raise CompilerBug(f"{op.name} has no form at loop level")

    def set(self, op: Operation, values: Sequence[Value]) -> None:
        """Record the results of `op`."""
        for result, value in zip(op.results, values, strict=True):
            if not value.name:
                value.name = result.name
            self.values[result] = value

    # Memory

    def place(self, value: Value) -> Value:
        """The buffer that `value`, a result about to be computed, is to be written to."""
        planned = place_of(value)
        found = None if planned is None else self._at(planned, buffer_type(value))
        if found is None:
            found = self.wanted.pop(value, None)
        if found is None:
            found = self.buffers.fresh(buffer_type(value))
            found.name = value.name
        return found

    def _at(self, planned: Place, type_: MemRefType) -> Value | None:
        """The memory of a place; None for a register."""
        match planned.kind:
            case Kind.REGISTER:
                return None
            case Kind.ARENA | Kind.PRIVATE:
                return self.buffers.at(planned.offset, type_)
            case Kind.RESULT:
                return self._reshape(self.results[planned.index], type_)
            case Kind.ARGUMENT:
                return self._reshape(self.arguments[planned.index], type_)
            case Kind.STACK:
                target = self.slices[-1 - planned.depth][planned.index]
                assert target is not None
                return self._reshape(target, type_)

    def buffer(self, value: Value) -> Value:
        """`value` in memory; a scalar is stored for the purpose."""
        held = self.values[value]
        if isinstance(held.type, MemRefType):
            return held
        memory = self.buffers.fresh(buffer_type(value))
        self.b.store(held, memory, [])
        return memory

    def copy(self, source: Value, target: Value) -> None:
        """Write a buffer or scalar to `target`, unless it is there already."""
        if source is target:
            return
        if isinstance(target.type, MemRefType) and target.type.rank == 0:
            held = self.b.load(source, []) if isinstance(source.type, MemRefType) else source
            self.b.store(held, target, [])
            return
        if isinstance(source.type, MemRefType) and same_place(source, target):
            return
        copy(self.b, self.machine, source, target, self.parallel)

    def _reshape(self, memref: Value, type_: MemRefType) -> Value:
        assert isinstance(memref.type, MemRefType)
        if memref.type == type_:
            return memref
        return self.b.subview(memref, [0] * memref.type.rank, type_)

    def slice(self, memref: Value, subscripts: Sequence[Subscript]) -> Value:
        """The part of a buffer at leading subscripts."""
        assert isinstance(memref.type, MemRefType)
        rest = memref.type.shape[len(subscripts) :]
        zeros = [0] * len(rest)
        return self.b.subview(memref, [*subscripts, *zeros], MemRefType(rest, memref.type.dtype))

    # Kernels

    def _kernel(self, op: Operation) -> None:
        if all(_type(v).size == 0 for v in op.results):
            self.set(op, [self.place(v) for v in op.results])
            return
        outputs = [self._output(v) for v in op.results]
        if isinstance(op, IN_PLACE):
            self.copy(self.values[op.target], outputs[0])
        operands = [self.values[v] for v in op.operands]
        if isinstance(op, IN_PLACE):
            operands[0] = outputs[0]
        loads = op.loads() if isinstance(op, kernel.Structured) else []
        captured = {load.source: self.values[load.source] for load in loads}
        self.functions.call(self.b, op, [*operands, *outputs], captured, self.parallel)
        self.set(op, [self._held(v, o) for v, o in zip(op.results, outputs, strict=True)])

    def _output(self, value: Value) -> Value:
        """Where a kernel writes a result; one without axes is taken from there at once."""
        if _type(value).rank or value in self.wanted:
            return self.place(value)
        return self.buffers.slot(value.index, buffer_type(value))

    def _held(self, value: Value, buffer: Value) -> Value:
        """Results without axes go to a register at once."""
        return self.b.load(buffer, []) if _type(value).rank == 0 else buffer


def _type(value: Value) -> TensorType:
    if not isinstance(value.type, TensorType):
        raise CompilerBug(f"{value} is no tensor")
    return value.type


def buffer_type(value: Value) -> MemRefType:
    """The contiguous buffer that holds a tensor, or the address of a tape."""
    if isinstance(value.type, TapeType):
        return MemRefType((), DType.I64)
    type_ = _type(value)
    return MemRefType(type_.shape, type_.dtype)


def register(value: Value) -> ScalarType | None:
    """The register type of a 0-d tensor or tape; None for other tensors."""
    if isinstance(value.type, TapeType):
        return ScalarType(DType.I64)
    type_ = _type(value)
    return ScalarType(type_.dtype) if type_.rank == 0 else None


def root(memref: Value) -> tuple[Value, int]:
    """The buffer that a view is taken of, and where a fixed view of the arena begins (else 0)."""
    op = memref.defining_op
    while isinstance(op, loop.SubView):
        memref = op.memref
        op = memref.defining_op
    return (op.arena, op.offset) if isinstance(op, loop.View) else (memref, 0)


def same_place(source: Value, target: Value) -> bool:
    """Whether both are all of one buffer, perhaps under different shapes."""
    first, second = _unshaped(source), _unshaped(target)
    if first is second:
        return True
    views = [v.defining_op for v in (first, second)]
    if not all(isinstance(op, loop.View) for op in views):
        return False
    return root(first) == root(second) and _bytes(first) == _bytes(second)


def _unshaped(memref: Value) -> Value:
    """The memref that `memref` is all of, under another shape."""
    op = memref.defining_op
    while isinstance(op, loop.SubView) and _bytes(op.memref) == _bytes(memref):
        if any(any(e.coefficients) or e.constant for e in op.map.results):
            break
        memref = op.memref
        op = memref.defining_op
    return memref


def _bytes(memref: Value) -> int:
    assert isinstance(memref.type, MemRefType)
    return memref.type.bytes


def _planned(value: Value) -> Place | None:
    """Where the plan puts a value, or what it is a view of."""
    op = value.defining_op
    while isinstance(op, kernel.View):
        value = op.source
        op = value.defining_op
    return place_of(value)


# Statements that are no kernels


def _constant(s: Statements, op: Operation) -> None:
    assert isinstance(op, arith.Constant)
    value = op.attributes["value"]
    assert isinstance(value, DenseElements)
    type_ = register(op.result)
    if type_ is not None:
        s.set(op, [s.b.constant(value.array.item(), type_)])
        return
    splat = value.splat_value
    if splat is None and value.array.size:
        s.set(op, [s.b.insert(loop.Global([], {"value": value})).results[0]])
        return
    buffer = s.place(op.result)
    if splat is not None:
        scalar = s.b.constant(splat, ScalarType(value.type.dtype))
        copy(s.b, s.machine, scalar, buffer, s.parallel)
    s.set(op, [buffer])


def _load(s: Statements, op: Operation) -> None:
    assert isinstance(op, kernel.Load)
    source = s.values[op.source]
    if not isinstance(source.type, MemRefType):
        s.set(op, [source])
        return
    s.set(op, [s.b.load(source, _subscripts(s, op, source))])


def _store(s: Statements, op: Operation) -> None:
    assert isinstance(op, kernel.Store)
    output = s.place(op.output)
    s.set(op, [output])
    if _type(op.output).size == 0:
        return
    s.copy(s.values[op.target], output)
    at, value = _subscripts(s, op, output), s.values[op.value]
    if op.combiner != kernel.OVERWRITE:
        there = s.b.load(output, at)
        value = s.b.insert(kernel.COMBINE[op.combiner]([there, value])).results[0]
    s.b.store(value, output, at)


def _subscripts(s: Statements, op: kernel.Load | kernel.Store, memref: Value) -> list[Subscript]:
    """Of an element of `memref`, inside of it."""
    assert isinstance(memref.type, MemRefType)
    found: list[Subscript] = []
    for value, extent in zip(op.subscripts, memref.type.shape, strict=True):
        at = arith.convert(s.b.builder, s.values[value], DType.I64)
        found.append(at if op.in_bounds else clamp(s.b, at, extent))
    return found


def _from_elements(s: Statements, op: Operation) -> None:
    assert isinstance(op, kernel.FromElements)
    if register(op.output) is not None:
        s.set(op, [s.values[op.elements[0]]])
        return
    buffer = s.place(op.output)
    flat = s.b.flat(buffer)
    for i, value in enumerate(op.elements):
        s.b.store(s.values[value], flat, [i])
    s.set(op, [buffer])


def _view(s: Statements, op: Operation) -> None:
    assert isinstance(op, kernel.View)
    source = s.values[op.source]
    if register(op.output) is not None:
        is_scalar = not isinstance(source.type, MemRefType)
        rank = _type(op.source).rank
        s.set(op, [source if is_scalar else s.b.load(source, [0] * rank)])
        return
    memory = s.buffer(op.source)
    type_ = buffer_type(op.output)
    assert isinstance(memory.type, MemRefType)
    same = memory.type == type_
    s.set(op, [memory if same else s.b.subview(memory, [0] * memory.type.rank, type_)])


def _call(s: Statements, op: Operation) -> None:
    raise CompilerBug(f"{op.name} of {op.attributes.get('callee')} was not inlined")


def _empty(s: Statements, op: Operation) -> None:
    s.set(op, [s.b.index(0)])


SIMPLE: Table = {
    arith.Constant: _constant,
    control.Empty: _empty,
    func.Call: _call,
    kernel.FromElements: _from_elements,
    kernel.Load: _load,
    kernel.Store: _store,
    kernel.View: _view,
}
"""How operations that are neither kernels nor control flow are lowered."""
