"""Replaying a memory plan: every read must find what was written for it.

This knows nothing of how plans are made. It walks the program, loops twice and both branches of
every `if`, and keeps for each buffer which value was last written where.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from dmc.dialects import arith, control, func, kernel
from dmc.ir import (
    AffineExpr,
    AffineMap,
    Block,
    Operation,
    Trait,
    Value,
    bytes_of,
    dtype_of,
    shape_of,
)
from dmc.transforms.generics import is_tensor
from dmc.transforms.memory.place import Kind, Place, place_of


class PlanError(Exception):
    """A value is read whose memory has been given to another, or that has no place."""


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes of one memory. The slice of a stack that one iteration writes is a memory."""

    memory: Hashable
    offset: int
    bytes: int

    def overlaps(self, other: Range) -> bool:
        same = self.memory == other.memory
        return (
            same
            and self.offset < other.offset + other.bytes
            and (other.offset < self.offset + self.bytes)
        )


@dataclass
class _Replay:
    arena_bytes: int
    holds: dict[Range, object] = field(default_factory=dict[Range, object])
    """What lies where: the value (or a token for its elements) last written to a range."""
    where: dict[Value, Range] = field(default_factory=dict[Value, Range])
    content: dict[Value, object] = field(default_factory=dict[Value, object])
    loops: list[tuple[Operation, int]] = field(default_factory=list[tuple[Operation, int]])

    def write(self, value: Value, place: Range, content: object | None = None) -> None:
        """Put `value` there; everything it overlaps is gone."""
        for other in [r for r in self.holds if r.overlaps(place)]:
            del self.holds[other]
        self.where[value] = place
        self.content[value] = object() if content is None else content
        self.holds[place] = self.content[value]

    def read(self, reader: Operation, value: Value) -> None:
        """Fail unless the memory of `value` still holds it."""
        place = self.where.get(value)
        if place is None:
            raise PlanError(f"{reader!r} reads {value}, which has no place")
        if place.bytes and self.holds.get(place) is not self.content[value]:
            raise PlanError(f"{reader!r} reads {value} from {place}, which was overwritten")

    def bind(self, arg: Value, value: Value, reader: Operation) -> None:
        """`arg` is another name for `value`."""
        self.read(reader, value)
        self.where[arg] = self.where[value]
        self.content[arg] = self.content[value]

    def range_of(self, value: Value) -> Range:
        """The bytes that the plan gives to the result of an operation."""
        op = value.defining_op
        place = place_of(value)
        if op is None or place is None or place.kind is Kind.REGISTER:
            raise PlanError(f"{value} has no place")
        size = bytes_of(value)
        match place.kind:
            case Kind.ARENA:
                if place.offset + size > self.arena_bytes:
                    raise PlanError(f"{value} leaves the arena")
                return Range("arena", place.offset, size)
            case Kind.PRIVATE:
                return Range("private", place.offset, size)
            case Kind.STACK:
                return self._slice(value, place)
            case _:
                return Range((place.kind, place.index), 0, size)

    def _slice(self, value: Value, place: Place) -> Range:
        loop, step = self.loops[-1 - place.depth]
        memory = ("slice", loop, place.index, step)
        return Range(memory, 0, bytes_of(value))

    def run(self, block: Block) -> None:
        for op in block:
            if op.has(Trait.TERMINATOR):
                for value in _tensors(op.operands):
                    self.read(op, value)
            else:
                self.step(op)

    def step(self, op: Operation) -> None:
        match op:
            case control.For():
                self._loop(op)
            case control.While():
                self._while(op)
            case control.If():
                self._if(op)
            case control.Map():
                self._map(op)
            case arith.Constant():
                for value in _tensors(op.results):
                    self.write(value, Range(op, 0, bytes_of(value)))
            case kernel.View():
                if is_tensor(op.source) and is_tensor(op.output):
                    self.bind(op.output, op.source, op)
            case _:
                self._plain(op)

    def _plain(self, op: Operation) -> None:
        loads = op.loads() if isinstance(op, kernel.Structured) else []
        for value in _tensors([*op.operands, *(load.source for load in loads)]):
            self.read(op, value)
        places = [self.range_of(value) for value in _tensors(op.results)]
        for i, place in enumerate(places):
            if any(place.overlaps(other) for other in places[:i]):
                raise PlanError(f"{op!r} writes two results to {place}")
        self._check_overwriting(op)
        for value, place in zip(_tensors(op.results), places, strict=True):
            self.write(value, place)

    def _check_overwriting(self, op: Operation) -> None:
        """An operand may be overwritten only where each of its elements is read before."""
        for value in _tensors(op.results):
            target = self.range_of(value)
            for index, each in enumerate(op.operands):
                if not is_tensor(each) or not self.where[each].overlaps(target):
                    continue
                if self.where[each] != target or not _point_by_point(op, index, value):
                    raise PlanError(f"{op!r} overwrites {each} while reading it")
            loads = op.loads() if isinstance(op, kernel.Structured) else []
            for load in loads:
                if is_tensor(load.source) and self.where[load.source].overlaps(target):
                    raise PlanError(f"{op!r} overwrites {load.source} while reading it")

    def _carry(self, op: Operation, args: Sequence[Value], values: Sequence[Value]) -> None:
        """Carried values must lie where what they become lies: nothing moves them."""
        for arg, value in zip(args, values, strict=True):
            if is_tensor(arg):
                if arg in self.where and self.where[arg] != self.where[value]:
                    raise PlanError(f"{op!r} does not carry {value} in one place")
                self.bind(arg, value, op)

    def _loop(self, op: control.For) -> None:
        for value in _tensors(op.operands):
            self.read(op, value)
        for value in _tensors(op.stacks):
            self.write(value, self.range_of(value))
        carried: Sequence[Value] = op.inits
        for arg in op.carried_args:
            self.where.pop(arg, None)
        for step in range(2):
            self.loops.append((op, step))
            self._carry(op, op.carried_args, carried)
            for arg, value in zip(op.scanned_args, op.scanned, strict=True):
                if is_tensor(arg):
                    if is_tensor(value):
                        self.read(op, value)
                    self.write(arg, Range(("scanned", arg, step), 0, bytes_of(arg)))
            self.run(op.body)
            self._stacked(op, op.stacked_values, op.carried, step)
            carried = op.next_values
            self.loops.pop()
        self._finish(op, op.finals, carried)
        for value in _tensors(op.stacks):
            self.read(op, value)

    def _stacked(self, op: Operation, values: Sequence[Value], first: int, step: int) -> None:
        for index, value in enumerate(values, first):
            if is_tensor(value) and self.where[value].memory != ("slice", op, index, step):
                raise PlanError(f"{op!r} does not stack {value} in its slice")

    def _finish(self, op: Operation, results: Sequence[Value], values: Sequence[Value]) -> None:
        for result, value in zip(results, values, strict=True):
            if is_tensor(result):
                if self.range_of(result) != self.where[value]:
                    raise PlanError(f"{op!r} does not leave {result} in its place")
                self.bind(result, value, op)

    def _while(self, op: control.While) -> None:
        carried: Sequence[Value] = op.inits
        for arg in (*op.condition.args, *op.body.args):
            self.where.pop(arg, None)
        for step in range(2):
            self.loops.append((op, step))
            self._carry(op, op.condition.args, carried)
            self.run(op.condition)
            self._carry(op, op.body.args, op.condition.args)
            self.run(op.body)
            self._stacked(op, op.stacked_values, len(op.inits), step)
            carried = op.next_values
            self.loops.pop()
        self._carry(op, op.condition.args, carried)
        self._finish(op, op.finals, op.condition.args)

    def _if(self, op: control.If) -> None:
        before = dict(self.holds)
        after: list[dict[Range, object]] = []
        token = [object() for _ in op.results]
        for inner in op.regions:
            self.holds = dict(before)
            self.run(inner.block)
            yielded = inner.block.terminator.operands
            for result, value, content in zip(op.results, yielded, token, strict=True):
                if is_tensor(result):
                    if self.range_of(result) != self.where[value]:
                        raise PlanError(f"{op!r} does not leave {result} in its place")
                    self.read(op, value)
                    self.holds[self.where[value]] = content
            after.append(self.holds)
        # What both branches left alone is still there.
        self.holds = {r: c for r, c in after[0].items() if after[1].get(r) is c}
        for result, content in zip(op.results, token, strict=True):
            if is_tensor(result):
                self.where[result] = self.range_of(result)
                self.content[result] = content

    def _map(self, op: control.Map) -> None:
        for value in _tensors(op.results):
            self.write(value, self.range_of(value))
        for step in range(2):
            self.loops.append((op, step))
            self.run(op.body)
            self._stacked(op, op.body.terminator.operands, 0, step)
            self.loops.pop()
        for value in _tensors(op.results):
            self.read(op, value)


def replay(function: func.Func, arena_bytes: int) -> None:
    """Walk a planned function. Raises PlanError for the first read of what is no longer there."""
    state = _Replay(arena_bytes)
    for index, arg in enumerate(function.body.args):
        if is_tensor(arg):
            state.write(arg, Range((Kind.ARGUMENT, index), 0, bytes_of(arg)))
    state.run(function.body)
    donated = function.donated or ()
    for index, value in enumerate(function.body.terminator.operands):
        if not is_tensor(value):
            continue
        memory = state.where[value].memory
        if memory not in [(Kind.RESULT, index), *[(Kind.ARGUMENT, d) for d in donated]]:
            raise PlanError(f"result {index} is left in {memory}")
    for index, arg in enumerate(function.body.args):
        if is_tensor(arg) and index not in donated:
            state.read(function, arg)


def _point_by_point(op: Operation, index: int, result: Value) -> bool:
    """Whether each element of an operand is read just where its successor is written."""
    match op:
        case kernel.Generic():
            if op.reduction and index < op.body_count:
                return False
            if op.columns and op.columns[result.index]:
                return False
            read = _address(op, op.operands[index], op.operand_maps[index])
            return read == _address(op, result, op.result_maps[result.index])
        case kernel.Scatter() | kernel.Store() | kernel.UpdateWindow():
            return index == 0
        case kernel.Copy():
            return True
        case _:
            return False


def _address(op: kernel.Generic, value: Value, map_: AffineMap) -> AffineExpr:
    """Where the element that a point visits lies, in bytes."""
    rank, stride = len(op.space), dtype_of(value.type).bytes
    zero = AffineExpr.number(rank, 0)
    by = [zero if n == 1 else AffineExpr.dim(rank, d) for d, n in enumerate(op.space)]
    address = zero
    for n, expr in reversed(list(zip(shape_of(value.type), map_.results, strict=True))):
        if n != 1:
            address += expr.substitute(by, rank, op.space).scaled(stride)
        stride *= n
    return address


def _tensors(values: Sequence[Value]) -> list[Value]:
    return [value for value in values if is_tensor(value)]
