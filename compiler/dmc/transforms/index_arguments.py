"""Which arguments of a function are indexes as they stand, and how large each may be.

Those that come from outside, such as labels and token ids, are checked at the call. Only reads and
writes that surely happen count: those in branches and in loops of unknown length do not. So this is
asked before derivatives are expanded: an adjoint adds nothing where a branch was not taken, but
does so without a branch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from dmc.dialects import arith, autodiff, func, tensor
from dmc.dialects.flow import ControlFlow
from dmc.ir import Block, Module, Operation, Value, shape_of
from dmc.ir.location import Location
from dmc.transforms.index_uses import indexes_of

Part = tuple[tuple[int, int, int], ...]
"""Start, stop and step for each axis; empty for the whole."""


@dataclass(frozen=True)
class IndexArgument:
    """The elements of the argument at position `argument` (of its `part`) are in 0..`bound`."""

    argument: int
    part: Part
    bound: int
    location: Location


@dataclass(frozen=True)
class _Source:
    """A value holds all elements of a part of an argument; `is_shaped` says in its shape, too."""

    argument: int
    part: Part = ()
    is_shaped: bool = True


def index_arguments(module: Module, function: func.Func) -> list[IndexArgument]:
    """In the order of the operations that use them, here and in what `function` calls."""
    search = _Search(module)
    for position, argument in enumerate(function.body.args):
        search.sources[argument] = _Source(position)
    found: dict[tuple[int, Part], IndexArgument] = {}
    for use in search.block(function.body):
        key = use.argument, use.part
        known = found.get(key)
        if known is None or use.bound < known.bound:
            found[key] = use
    return list(found.values())


@dataclass
class _Search:
    module: Module
    sources: dict[Value, _Source] = field(default_factory=dict[Value, _Source])
    extents: dict[Value, int] = field(default_factory=dict[Value, int])
    """Indexes that run through 0..extent."""

    def block(self, block: Block) -> Iterator[IndexArgument]:
        for op in block:
            for value, bound in indexes_of(op):
                source = self.source(value)
                if source is not None:
                    yield IndexArgument(source.argument, source.part, bound, op.location)
            match op:
                case ControlFlow() if op.surely_runs:
                    yield from self._regions(op)
                case func.Call() | autodiff.Jvp() | autodiff.Vjp():
                    yield from self._callee(op, func.lookup(self.module, op.callee))
                case _:
                    pass

    def _callee(self, op: Operation, callee: func.Func) -> Iterator[IndexArgument]:
        """The arguments of a callee are the first operands; of another call they were others."""
        for argument, operand in zip(callee.body.args, op.operands, strict=False):
            source = self.source(operand)
            if source is None:
                self.sources.pop(argument, None)
            else:
                self.sources[argument] = source
        yield from self.block(callee.body)

    def _regions(self, op: ControlFlow) -> Iterator[IndexArgument]:
        self.extents.update((i, bound) for i, bound in op.indexes().items() if bound is not None)
        for flow in op.flows():
            entering = flow.entering
            source = self.source(entering) if flow.sliced and entering is not None else None
            if source is not None:
                scanned = replace(source, is_shaped=False)
                self.sources.update((argument, scanned) for argument in flow.arguments)
        for inner in op.regions:
            yield from self.block(inner.block)

    def source(self, value: Value) -> _Source | None:
        """The argument whose elements `value` has, all of them and nothing else."""
        if value in self.sources:
            return self.sources[value]
        op = value.owner
        match op:
            case arith.Convert():
                return self.source(op.operands[0])
            case tensor.Reshape() | tensor.BroadcastInDim() | tensor.Transpose():
                source = self.source(op.operands[0])
                return source and replace(source, is_shaped=False)
            case tensor.Slice():
                source = self.source(op.operands[0])
                if source is None or not source.is_shaped or source.part:
                    return None
                part = zip(op.start_indices, op.limit_indices, op.strides, strict=True)
                return replace(source, part=tuple(part))
            case tensor.Extract():
                source = self.source(op.operand)
                return source if source is not None and self._runs_through(op) else None
            case _:
                return None

    def _runs_through(self, op: tensor.Extract) -> bool:
        """Whether the loops around read every element."""
        shape = shape_of(op.operand.type)
        extents = [self.extents.get(index, -1) for index in op.indices]
        return tuple(extents) == tuple(shape) and len(set(op.indices)) == len(shape)
