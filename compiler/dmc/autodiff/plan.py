"""Deciding what a reverse region keeps from its forward region and what it computes again.

Every value of the forward regions that reverse code may need is a node of a network, and so is
everything that can produce one again: its operation, the tensor it is a slice of, the undoing of
changes to a table. The cheapest cut between what costs and what is needed is the plan; costs are
bytes moved, for all iterations together. (A cut decides the same in Jain et al., "Checkmate", 2020,
and in PyTorch's partitioner of joint graphs.)
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from math import prod

from dmc.autodiff.min_cut import UNLIMITED, Network
from dmc.autodiff.tape import Tape
from dmc.autodiff.undo import Undo, Undos, changes_inside
from dmc.dialects import arith, control, func, tensor
from dmc.ir import Block, Operation, Trait, Value, bytes_of

FLOP_BYTES = 2.5
"""The bytes that are moved in the time of one operation on numbers."""

LARGE = 4 << 20
"""The bytes of what no cache holds."""

LARGE_FLOP_BYTES, PRODUCT_BYTES = 1.0, 0.25
"""As `FLOP_BYTES`, where so much is computed at once: in lanes, and in products of matrices."""

LARGE_WEIGHT = 8
"""How much more a byte of what is large counts for.

It is moved by every kernel from its making to its last reading. Where it is not kept, it need not
be there as a whole: it is made and read a tile at a time, in both passes.
"""

WEIGHTS = (2, 8, 32, 128)
"""What a byte that is kept counts for: it is written and read, and takes memory meanwhile."""

MANY = 64
"""How often a loop is taken to run of which nothing tells."""

MOST_KEPT = 8
"""How much more memory a tape may take than the program itself."""


@dataclass(frozen=True)
class Scan:
    """A block argument as a slice of the tensor that its loop scans."""

    arg: Value
    tensor: Value


Producer = Operation | Scan | Undo
"""What gives values to reverse code without having kept them."""


@dataclass
class Plan:
    """Which producers run again. All other values that are needed are kept."""

    undos: Undos
    again: set[object] = field(default_factory=set[object])

    def producer(self, value: Value) -> Producer | None:
        """What could give `value`, which belongs to a forward region."""
        undo = self.undos.of.get(value)
        if undo is not None:
            return undo
        if isinstance(value.owner, Operation):
            return value.owner
        loop = value.owner.parent_op
        if isinstance(loop, control.For) and value.index > loop.carried:
            return Scan(value, loop.scanned[value.index - 1 - loop.carried])
        return None

    def is_kept(self, value: Value) -> bool:
        """Whether `value` is kept rather than produced again."""
        producer = self.producer(value)
        return producer is None or producer not in self.again

    def undone(self, value: Value) -> Undo | None:
        """The chain that gives `value` by undoing changes to a table."""
        undo = self.undos.of.get(value)
        return undo if undo in self.again else None


def is_index(value: Value) -> bool:
    """Whether `value` counts the iterations of a loop; going back, there is such a value too."""
    return isinstance(value.owner, Block) and value.index == 0


def make_plan(tape: Tape, needs: Collection[Value], body: Block) -> Plan:
    """The cheapest way to have all of `needs`, in the function whose code is `body`.

    What is kept takes at most `MOST_KEPT` times the memory of the values that the function has
    outside loops, if it can: otherwise bytes count for more than the time to move them.
    """
    plan = Plan(Undos(tape))
    for loop in tape.reverse_of:
        if isinstance(loop, control.Loop):
            for index in range(len(loop.inits)):
                plan.undos.find(loop, index)
    named = [*body.args, *(value for op in body for value in op.results)]
    limit = MOST_KEPT * sum(map(bytes_of, named))
    for weight in WEIGHTS:
        network = _Network(plan, tape, weight)
        for value in needs:
            network.need(value)
        plan.again = network.again()
        if sum(n for v, n in network.sizes.items() if v in plan.again and plan.is_kept(v)) <= limit:
            break
    return plan


_SOURCE, _SINK = "source", "sink"


class _Network:
    """Nodes on the side of the sink are available to reverse code."""

    def __init__(self, plan: Plan, tape: Tape, weight: int) -> None:
        self.plan = plan
        self.weight = weight
        self.left = set(tape.mirrors) | {undo.block for undo in plan.undos.of.values()}
        """Forward regions: reverse code for them runs when they have been left."""
        self.network = Network()
        self.sizes: dict[Value, int] = {}
        """The bytes of each value, of all iterations."""
        self.seen: set[object] = set()
        self.fixed: dict[Value, bool] = {}

    def need(self, value: Value) -> None:
        self._value(value)
        self.network.connect(value, _SINK)

    def again(self) -> set[object]:
        return {key for key in self.network.needed(_SOURCE, _SINK) if not isinstance(key, str)}

    def _value(self, value: Value) -> None:
        if value in self.seen or is_index(value):
            return
        self.seen.add(value)
        producer = self.plan.producer(value)
        size = self.sizes[value] = bytes_of(value) * executions(value.parent_block)
        weight = self.weight * (LARGE_WEIGHT if _is_large(value) else 1)
        self.network.connect(_SOURCE if producer is None else producer, value, weight * size)
        if producer is not None and producer not in self.seen:
            self.seen.add(producer)
            self._producer(producer)

    def _producer(self, producer: Producer) -> None:
        """The cost of `producer`, and what it needs."""
        match producer:
            case Operation():
                cost, inputs = self._repeating(producer), producer.reads()
            case Scan(arg, scanned):
                cost, inputs = bytes_of(arg), [scanned]
            case Undo():
                cost, inputs = self._undoing(producer)
        block = _block_of(producer)
        if cost < UNLIMITED:
            cost *= executions(block)
        self.network.connect(_SOURCE, producer, cost)
        for value in inputs:
            if value.parent_block in self.left:
                self._value(value)
                self.network.connect(value, producer)

    def _repeating(self, op: Operation) -> int:
        """The cost of running `op` once more."""
        if any(isinstance(inner, func.Call | control.While) for inner in op.walk()):
            return UNLIMITED
        if any(self._is_early(value, op.parent) for value in op.reads()):
            return UNLIMITED
        if op.results and self._is_fixed(op.results[0]):
            return 0
        cost = op.cost()
        work = int(_flop_bytes(op) * cost.flops)
        if op.has(Trait.ELEMENTWISE):
            return work
        if isinstance(op, tensor.Update):
            return work + sum(map(bytes_of, op.results))
        return work + cost.bytes // 2

    def _is_fixed(self, value: Value) -> bool:
        """Whether an element depends on its place alone, as those of a mask: it is never stored."""
        if value not in self.fixed:
            match value.defining_op:
                case arith.Constant():
                    fixed = True
                case tensor.Iota() | tensor.BroadcastInDim() as op:
                    fixed = all(map(self._is_fixed, op.reads()))
                case Operation() as op if op.has(Trait.ELEMENTWISE):
                    fixed = all(map(self._is_fixed, op.reads()))
                case _:
                    fixed = False
            self.fixed[value] = fixed
        return self.fixed[value]

    def _is_early(self, value: Value, block: Block | None) -> bool:
        """Whether `value`, used in `block`, is there again only behind the reverse of a step."""
        undo = None if block is None else self.plan.undos.within.get((value, block))
        return undo is not None and any(map(changes_inside, undo.steps[undo.values.index(value) :]))

    def _undoing(self, undo: Undo) -> tuple[int, list[Value]]:
        """What one iteration overwrites; that, and where it was, must be there."""
        cost = 0
        inputs = [undo.last]
        for step in undo.steps:
            if isinstance(step, tensor.Update):
                cost += 4 * bytes_of(step.operands[1])
                inputs += step.operands[2:]
                continue
            if isinstance(step, control.If):
                inputs.append(step.condition)
            for inner in undo.inner[step]:
                if inner not in self.seen:
                    self.seen.add(inner)
                    self._producer(inner)
                self.network.connect(inner, undo)
        return cost, inputs


def _is_large(value: Value) -> bool:
    return bytes_of(value) >= LARGE


def _flop_bytes(op: Operation) -> float:
    if not any(map(_is_large, op.results)):
        return FLOP_BYTES
    return PRODUCT_BYTES if isinstance(op, tensor.DotGeneral) else LARGE_FLOP_BYTES


def _block_of(producer: Producer) -> Block | None:
    match producer:
        case Operation():
            return producer.parent
        case Scan():
            return producer.arg.parent_block
        case Undo():
            return producer.block


def executions(block: Block | None) -> int:
    """How often a block runs, as far as that is known."""
    count = 1
    while block is not None and block.parent_op is not None:
        match block.parent_op:
            case control.Loop() as loop:
                count *= max(loop.extent, 1) if loop.extent >= 0 else MANY
            case control.Map() as loop:
                count *= max(prod(loop.sizes), 1)
            case _:
                pass
        block = block.parent_op.parent
    return count
