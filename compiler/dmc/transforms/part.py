"""Body or epilogue of a kernel under construction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dmc.dialects import kernel
from dmc.ir import AffineExpr, AffineMap, Block, Builder, Operation, TensorType, Value, dtype_of
from dmc.ir.rewriter import replace_op
from dmc.transforms.cse import EqualOperations, merge_into
from dmc.transforms.generics import Read, affine_value, is_inside

Substitution = Sequence[AffineExpr]
"""For each dimension of a kernel its value in the dimensions of another."""


class Part:
    """Body or epilogue of a kernel over `space`: its operands and its code.

    A part may take over a block of a kernel that it will replace. What is in there is neither
    copied nor looked at again, so that a kernel that grows costs no more than what is added to it.
    """

    def __init__(self, space: tuple[int, ...], block: Block | None = None) -> None:
        self.space = space
        self.reads: list[Read] = []
        self.block = Block() if block is None else block
        self.leading = 0
        """Arguments in front of those of the reads: an epilogue takes reduced values first."""
        self._arguments: dict[Read, Value] = {}
        self._known = self.block.last
        """The operations up to here were taken over."""
        self._released: list[Operation] = []
        """Those among them that may have become useless."""

    @staticmethod
    def taking_body(op: kernel.Generic) -> Part:
        """A part that goes on where the body of `op` ends; `op` must be replaced."""
        part = Part(op.space, op.body)
        part._take_reads(zip(op.body_inputs, op.operand_maps, strict=False))
        return part

    @staticmethod
    def taking_epilogue(op: kernel.Generic) -> Part:
        """A part that goes on where the epilogue of `op` ends; `op` must be replaced."""
        part = Part(op.space, op.epilogue)
        part.leading = len(op.body.terminator.operands)
        maps = op.operand_maps[op.body_count :]
        part._take_reads(zip(op.epilogue_inputs, maps, strict=True))
        return part

    def _take_reads(self, pairs: Iterable[tuple[Value, AffineMap]]) -> None:
        """Name the arguments that are there, one for each different read."""
        for value, map_ in pairs:
            at = self.leading + len(self.reads)
            argument = self._arguments.get(Read(value, map_))
            if argument is None:
                argument = self._arguments[Read(value, map_)] = self.block.args[at]
                argument.name = argument.name or value.name
                self.reads.append(Read(value, map_))
            else:
                self.block.args[at].replace_all_uses_with(argument)
                self.block.erase_arg(at)
                self._known = None  # what was different may have become equal

    def reopen(self) -> list[Value]:
        """Remove the terminator of a block that was taken over; the values it yielded."""
        terminator = self.block.terminator
        if self._known is terminator:
            self._known = terminator.previous
        values = list(terminator.operands)
        self._released = [op for value in values if (op := value.defining_op) is not None]
        terminator.erase()
        return values

    def builder(self) -> Builder:
        return Builder(self.block)

    def add_leading(self, value: Value) -> Value:
        """A block argument for a reduced value, before any read is added."""
        self.leading += 1
        return self.block.add_arg(value.type, value.name)

    def read(self, value: Value, map_: AffineMap) -> Value:
        """The block argument for an operand, the same when it is read in the same way."""
        wanted = Read(value, map_)
        argument = self._arguments.get(wanted)
        if argument is None:
            argument = self.block.add_arg(TensorType((), dtype_of(value.type)), value.name)
            self._arguments[wanted] = argument
            self.reads.append(wanted)
        return argument

    def read_all(self, reads: Sequence[Value], maps: Sequence[AffineMap]) -> list[Value]:
        """Block arguments for several operands."""
        return [self.read(value, map_) for value, map_ in zip(reads, maps, strict=True)]

    def inline(
        self, block: Block, arguments: Sequence[Value], by: Substitution | None = None
    ) -> list[Value]:
        """Append the code of `block`; `by` gives what its iteration dimensions are here."""
        mapping = dict(zip(block.args, arguments, strict=True))
        builder = self.builder()
        terminator = block.terminator
        for op in block:
            if op is terminator:
                break
            if isinstance(op, kernel.Index | kernel.Inside) and by is not None:
                builder.location = op.location
                mapping[op.output] = self._subscript(builder, op, by)
            else:
                builder.insert(op.clone(mapping))
        return [mapping.get(value, value) for value in terminator.operands]

    def take(
        self, block: Block, arguments: Sequence[Value], by: Substitution | None = None
    ) -> list[Value]:
        """As `inline`, but the code is moved, all of it: its kernel must be replaced."""
        for argument, value in zip(block.args, arguments, strict=True):
            argument.replace_all_uses_with(value)
        builder = self.builder()
        terminator = block.terminator
        for op in block:
            if op is terminator:
                break
            if isinstance(op, kernel.Index | kernel.Inside) and by is not None:
                builder.location = op.location
                replace_op(op, [self._subscript(builder, op, by)])
            else:
                op.detach()
                builder.insert(op)
        values = list(terminator.operands)
        terminator.erase()
        return values

    def _subscript(
        self, builder: Builder, op: kernel.Index | kernel.Inside, by: Substitution
    ) -> Value:
        """What `op` of another kernel is here."""
        if isinstance(op, kernel.Index):
            return affine_value(builder, by[op.dim])
        return is_inside(builder, self.moved(op.map, by), op.shape, self.space)

    def moved(self, map_: AffineMap, by: Substitution) -> AffineMap:
        """`map_`, from the dimensions of another kernel, over the space of this one."""
        return map_.substitute(by, len(self.space), self.space)

    def finish(self, values: Sequence[Value]) -> None:
        """End the code, and drop what it turns out not to need."""
        self.builder().insert(kernel.Yield(values))
        added = self._merge_added()
        self._drop_useless([*self._released, *added])
        for index in reversed(range(self.leading, len(self.block.args))):
            if not self.block.args[index].uses:
                self.block.erase_arg(index)
                del self.reads[index - self.leading]

    def _merge_added(self) -> list[Operation]:
        """Merge what was added with what is equal to it and in front of it; what is left."""
        added: list[Operation] = []
        equal = EqualOperations(self.block)
        at = self.block.first if self._known is None else self._known.next
        while at is not None:
            op, at = at, at.next
            earlier = equal.before(op)
            if earlier is None:
                added.append(op)
            else:
                merge_into(earlier, op)
        return added

    def _drop_useless(self, candidates: list[Operation]) -> None:
        """Erase those of `candidates` that nothing uses, and what then becomes useless."""
        while candidates:
            op = candidates.pop()
            if op.parent is None or not op.results or any(v.uses for v in op.results):
                continue
            candidates.extend(owner for v in op.operands if (owner := v.defining_op) is not None)
            op.erase()
