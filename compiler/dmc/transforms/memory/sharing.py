"""Which tensors share a buffer: classes of values that are never live together.

Control flow demands some (a carried value is one buffer from entry to exit). Others save a copy,
or let a kernel overwrite an operand that dies there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from dmc.dialects import arith, control, func, kernel
from dmc.dialects.flow import ControlFlow, Flow, flow_of
from dmc.ir import AffineExpr, AffineMap, Block, Operation, Trait, Value, bytes_of, shape_of
from dmc.transforms.common import code, is_inside
from dmc.transforms.generics import is_tensor
from dmc.transforms.memory.copies import viewed
from dmc.transforms.memory.liveness import Interval, Liveness
from dmc.transforms.memory.place import Kind


@dataclass(eq=False)
class Buffer:
    """Values that lie in one place, and what is known of it.

    `kind` is None for what the layout decides. `loop` is the loop of a STACK. A buffer that is
    `fixed` is never written.
    """

    members: list[Value] = field(default_factory=list[Value])
    kind: Kind | None = None
    index: int = 0
    loop: Operation | None = None
    fixed: bool = False
    bytes: int = 0
    """The size of the largest member."""

    def __post_init__(self) -> None:
        self.bytes = max((bytes_of(value) for value in self.members), default=0)


class Sharing:
    """Assigns every tensor of a function, after copies were inserted, to a buffer."""

    def __init__(self, function: func.Func) -> None:
        self.function = function
        self.liveness = Liveness(function)
        self.buffers: dict[Value, Buffer] = {}
        self._sources: dict[Operation, list[Value]] = {}
        for value in _tensors(function):
            self.buffers[value] = Buffer([value], fixed=_is_fixed(function, value))
        self._demanded()
        self._saving_copies()
        self._in_place()
        self._saving_copies()

    def classes(self) -> list[Buffer]:
        """The distinct buffers, in order of their first value."""
        return list(dict.fromkeys(self.buffers.values()))

    # What control flow and views demand

    def _demanded(self) -> None:
        for op in code(self.function):
            match op:
                case kernel.View() if op.source in self.buffers:  # else a slice that a loop takes
                    self._join(op.source, op.output)
                case ControlFlow():
                    for flow in op.flows():
                        self._follow(flow)
                case _:
                    pass
        for index, value in enumerate(self.function.body.terminator.operands):
            self._bind(value, Kind.RESULT, index, None)
        for index in self.function.donated or ():
            self._bind(self.function.body.args[index], Kind.ARGUMENT, index, None)

    def _follow(self, flow: Flow) -> None:
        """What is one value at different times is one buffer; what is stacked is a slice of it."""
        if not flow.sliced:
            self._join(*flow.values)
        elif flow.result is not None:
            for value in flow.yielded:
                self._bind(value, Kind.STACK, flow.result, flow.op)

    def _bind(self, value: Value, kind: Kind, index: int, loop: Operation | None) -> None:
        if is_tensor(value):
            buffer = self.buffers[value]
            buffer.kind, buffer.index, buffer.loop = kind, index, loop

    def _join(self, first: Value, *others: Value) -> None:
        for other in others:
            if is_tensor(first) and self.buffers.get(first) is not self.buffers.get(other):
                self._merge(self.buffers[first], self.buffers[other])

    def _merge(self, into: Buffer, other: Buffer) -> None:
        if into.kind is None or other.kind is Kind.ARGUMENT:
            into.kind, into.index, into.loop = other.kind, other.index, other.loop
        into.fixed |= other.fixed
        into.members += other.members
        into.bytes = max(into.bytes, other.bytes)
        for value in other.members:
            self.buffers[value] = into

    # What saves work

    def _saving_copies(self) -> None:
        """Let both sides of a copy be one buffer, inside loops first."""
        copies = [op for op in code(self.function) if isinstance(op, kernel.Copy)]
        for op in sorted(copies, key=_depth, reverse=True):
            self._try(op, op.source, op.output)

    def _in_place(self) -> None:
        """Let kernels overwrite operands that die there; each result one operand at most.

        What replaces a donated argument goes first, so that a state is updated where it lies.
        """
        partners = self._partners()
        pairs = [(op, i, v) for op in code(self.function) for i, v in overwritable(op)]
        pairs.sort(key=lambda pair: partners.get(pair[2]) is not pair[0].operands[pair[1]])
        for op, index, value in pairs:
            operand = op.operands[index]
            buffer = self.buffers.get(operand)
            if buffer is None or not self._dies(op, operand, value):
                continue
            own = any(self.buffers.get(result) is buffer for result in op.results)
            read = any(self.buffers.get(each) is self.buffers[value] for each in op.operands)
            if not own and not read and not self._read_otherwise(op, buffer, value):
                self._try(op, operand, value)

    def _dies(self, op: Operation, operand: Value, result: Value) -> bool:
        """Whether nothing reads `operand` behind `op` while `result` is live."""
        end = self.liveness.numbering.begin[op] + 1
        if self.liveness[operand][1] <= end:
            return True
        meeting = self.liveness.meeting(operand, result)
        # What nothing reads is written all the same.
        return meeting is None or meeting[1] <= end < self.liveness[result][1]

    def _partners(self) -> dict[Value, Value]:
        """The donated argument that each returned value takes the place of.

        Those of one type correspond in order, when there are as many of them.
        """
        arguments, returned = self.function.body.args, self.function.body.terminator.operands
        given = [arguments[i] for i in self.function.donated or ()]
        partners: dict[Value, Value] = {}
        for type_ in dict.fromkeys(value.type for value in given):
            olds = [value for value in given if value.type == type_]
            news = [value for value in returned if value.type == type_]
            if len(olds) == len(news):
                partners.update(zip(map(viewed_origin, news), olds, strict=True))
        return partners

    def _read_otherwise(self, op: Operation, buffer: Buffer, result: Value) -> bool:
        """Whether `op` reads the buffer elsewhere than where it writes `result`."""
        if isinstance(op, kernel.Generic):
            write = _elements(op, result, op.result_maps[result.index])
            pairs = zip(op.operands, op.operand_maps, strict=True)
            same = [(v, m) for v, m in pairs if self.buffers.get(v) is buffer]
            if any(_elements(op, v, m) != write for v, m in same):
                return True
            if op.reduction and any(self.buffers.get(v) is buffer for v in op.body_inputs):
                return True
        elif any(self.buffers.get(v) is buffer for v in op.operands[1:]):
            return True
        return any(self.buffers.get(source) is buffer for source in self._loaded(op))

    def _loaded(self, op: Operation) -> list[Value]:
        """What the code of a kernel loads from."""
        if not isinstance(op, kernel.Structured):
            return []
        if op not in self._sources:
            self._sources[op] = [load.source for load in op.loads()]
        return self._sources[op]

    def _try(self, op: Operation, operand: Value, result: Value) -> bool:
        """Give `result` the buffer of `operand`, which `op` reads before it writes, if allowed."""
        if not is_tensor(operand):
            return False
        a, b = self.buffers.get(operand), self.buffers[result]
        if a is None or a is b or a.fixed or b.fixed or a.bytes != b.bytes:
            return a is b
        if not self._kinds_agree(a, b):
            return False
        point = self.liveness.numbering.begin[op]
        for x in a.members:
            for y in b.members:
                if viewed_origin(x) is viewed_origin(y):
                    continue
                meeting = self.liveness.meeting(x, y)
                if meeting is None or point <= meeting[0] <= meeting[1] <= point + 1:
                    continue
                if not (self._follows(x, y, meeting) or self._follows(y, x, meeting)):
                    return False
        self._merge(a, b)
        return True

    def _follows(self, old: Value, new: Value, meeting: Interval) -> bool:
        """Whether two values are live together only while one overwrites the other."""
        op = new.defining_op
        if op is None or isinstance(op, kernel.Copy):
            return False
        point = self.liveness.numbering.begin.get(op, -1)
        if not point <= meeting[0] <= meeting[1] <= point + 1:
            return False
        origin = viewed_origin(old)
        read = [value for value in op.operands if viewed_origin(value) is origin]
        if isinstance(op, kernel.Structured):
            read += [source for source in self._loaded(op) if viewed_origin(source) is origin]
        places = [i for i, result in overwritable(op) if result is new]
        return len(read) == 1 and any(op.operands[i] is read[0] for i in places)

    def _kinds_agree(self, a: Buffer, b: Buffer) -> bool:
        kinds = {a.kind, b.kind} - {None}
        if a.kind is not None and b.kind is not None:
            # A result may be left in an argument that the caller gave up.
            gives = kinds == {Kind.ARGUMENT, Kind.RESULT}
            if not gives or a.members[0].type != b.members[0].type:
                return False
        members = [*a.members, *b.members]
        if Kind.STACK in kinds:
            bound = a if a.kind is Kind.STACK else b
            assert bound.loop is not None
            return all(_is_made_in(value, bound.loop) for value in members)
        scopes = {tasks_around(value) for value in members}
        return len(scopes) == 1 and (not kinds or scopes == {None})


def overwritable(op: Operation) -> Iterator[tuple[int, Value]]:
    """Operands that `op` may overwrite with a result, as far as it alone is concerned.

    A kernel may, where it reads each element just before it writes its successor: in the epilogue
    when there is a reduction. What the body of a reduction reads it reads more often.
    """
    match op:
        case kernel.Generic():
            inner = set(op.body_inputs) if op.reduction else set[Value]()
            writes = defaultdict[tuple[_Elements, int], list[Value]](list)
            for i, (result, write) in enumerate(zip(op.results, op.result_maps, strict=True)):
                if not op.columns or not op.columns[i]:
                    writes[_elements(op, result, write), bytes_of(result)].append(result)
            pairs = enumerate(zip(op.operands, op.operand_maps, strict=True))
            for index, (value, map_) in pairs:
                if value not in inner and is_tensor(value):
                    key = _elements(op, value, map_), bytes_of(value)
                    for result in writes.get(key, ()):
                        yield index, result
        case kernel.Scatter() | kernel.Store() | kernel.UpdateWindow() if is_tensor(op.target):
            yield 0, op.output
        case _:
            pass


_Elements = tuple[tuple[int, ...], tuple[AffineExpr, ...]]
"""Sizes of axes, and the subscripts along them."""


def _elements(op: kernel.Generic, value: Value, map_: AffineMap) -> _Elements:
    """Which elements of `value` a kernel visits and when, axes and dimensions of one step left out.

    Where these agree for two tensors of one size, they are visited at the same addresses.
    """
    rank = len(op.space)
    by = [
        AffineExpr.dim(rank, d) if n != 1 else AffineExpr.number(rank, 0)
        for d, n in enumerate(op.space)
    ]
    axes = zip(shape_of(value.type), map_.results, strict=True)
    longer = [(n, expr.substitute(by, rank, op.space)) for n, expr in axes if n != 1]
    return tuple(n for n, _ in longer), tuple(expr for _, expr in longer)


def tasks_around(value: Value) -> Operation | None:
    """The outermost operation in whose parallel tasks `value` is defined."""
    found: Operation | None = None
    block: Block | None = value.parent_block
    while block is not None and block.parent_op is not None:
        op = block.parent_op
        if isinstance(op, control.Map) or (isinstance(op, control.For) and op.tasks):
            found = op
        block = op.parent
    return found


def viewed_origin(value: Value) -> Value:
    """The value that `value` is made from by copies and views."""
    value = viewed(value)
    op = value.defining_op
    while isinstance(op, kernel.Copy):
        value = viewed(op.source)
        op = value.defining_op
    return value


def _is_made_in(value: Value, loop: Operation) -> bool:
    """Whether `value` is made anew in each iteration of `loop`."""
    is_carried = isinstance(value.owner, Block) and value.owner.parent_op is loop
    return not is_carried and is_inside(value, loop)


def _tensors(function: func.Func) -> Iterator[Value]:
    """All values that have a buffer of their own; slices that loops take have none."""
    yield from (value for value in function.body.args if is_tensor(value))
    for op in code(function):
        if op is function or isinstance(op.parent_op, kernel.Structured):
            continue
        flows = op.flows() if isinstance(op, ControlFlow) else ()
        inner = [arg for flow in flows if not flow.sliced for arg in flow.arguments]
        yield from (value for value in (*inner, *op.results) if is_tensor(value))


def _is_fixed(function: func.Func, value: Value) -> bool:
    """Arguments that were not given up, constants, and views of slices are never written."""
    origin = viewed(value)
    if isinstance(origin.owner, Block):
        if origin.owner is function.body:
            return origin.index not in (function.donated or ())
        flow = flow_of(origin)
        return flow is not None and flow.sliced
    return isinstance(origin.owner, arith.Constant) and origin.owner.has(Trait.CONSTANT)


def _depth(op: Operation) -> int:
    depth = 0
    while op.parent_op is not None:
        op = op.parent_op
        depth += 1
    return depth
