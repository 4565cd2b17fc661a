"""Branches, maps, and what all of control flow needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod

import numpy as np

from dmc.dialects.control.tapes import zeros
from dmc.dialects.flow import ControlFlow, Flow, Sums
from dmc.ir import (
    Array,
    Attribute,
    Block,
    Builder,
    Cost,
    DType,
    Interpreter,
    Operation,
    Region,
    TensorType,
    Trait,
    Type,
    Value,
    attribute,
    int_tuple,
    operand,
    operands,
    region,
)

INDEX = TensorType((), DType.I64)
"""The type of loop indexes and trip counts."""
PREDICATE = TensorType((), DType.BOOL)
"""The type of conditions."""


class Yield(Operation):
    """`control.yield`: ends a region of control flow."""

    name = "control.yield"
    traits = frozenset({Trait.TERMINATOR})
    values = operands()

    def infer(self) -> Sequence[Type]:
        return ()


class If(ControlFlow):
    """`control.if`: the results of one of two regions without arguments.

    With `checkpoint`, reverse mode repeats the region that ran rather than keep anything of it.

    C1: the condition is a 0-d `i1`.  C2: both regions yield the result types.  C3: they take
    nothing.
    """

    name = "control.if"
    is_loop = False
    checkpoint = attribute(bool, default=False)
    condition = operand()
    on_true = region()
    on_false = region()

    @property
    def yielding(self) -> Sequence[Block]:
        return (self.on_true, self.on_false)

    def flows(self) -> Sequence[Flow]:
        return [Flow(self, result=i) for i in range(len(self.results))]

    def drivers(self) -> Sequence[Value]:
        return (self.condition,)

    def infer(self) -> Sequence[Type]:
        return self.on_true.terminator.operand_types

    def add_result(self, value: Value) -> Value:
        """Pass on one more value of a branch; the other branch gives zeros."""
        return self.join(
            [
                value
                if value.parent_block is block
                else zeros(Builder.ahead_of(block.terminator), value.type)
                for block in self.yielding
            ],
            value.name,
        )

    def join(self, values: Sequence[Value], name: str = "") -> Value:
        """Pass on one more value, which each branch gives."""
        for block, value in zip(self.yielding, values, strict=True):
            block.terminator.insert_operand(len(block.terminator.operands), value)
        return self.insert_result(len(self.results), values[0].type, name)

    def verify_(self) -> None:
        self.require(1, self.condition.type == PREDICATE, "the condition is not a 0-d i1")
        for block in (self.on_true, self.on_false):
            self.require(3, not block.args, "a branch takes nothing")
            self.require(2, block.terminator.operand_types == self.result_types, "yielded types")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        return interpreter.run_block(self.on_true if operands[0] else self.on_false, ())

    def fold(self) -> Sequence[Value | Attribute] | None:
        """Both regions yield the same outer values."""
        yields = (self.on_true.terminator.operands, self.on_false.terminator.operands)
        outer = all(v.parent_block not in (self.on_true, self.on_false) for v in yields[0])
        return yields[0] if yields[0] == yields[1] and outer else None

    def cost(self) -> Cost:
        """That of both branches: lanes of a batched branch run through both."""
        return cost_of(self.on_true) + cost_of(self.on_false)


class Map(ControlFlow):
    """`control.map`: the region run independently for every point of an index space.

    Operands are what sums begin with. Block arguments: the indexes, then the sums so far. The
    region yields each sum with something added to it, then what is stacked. Results: the sums,
    then what was stacked, along leading axes of `sizes`.

    To a sum a point only adds, in place where it adds to an element (`tensor.dynamic_update_slice`,
    `tensor.scatter`, a loop that adds): so the adjoint of a map costs what its points read. Points
    add in row-major order here; compiled, in an order that sizes decide.

    C1: a 0-d `i64` for each size, then the types of the sums as block arguments.  C2: result types
    follow.  C3: sums keep their types.  C4: a sum is added to, neither replaced nor read.
    """

    name = "control.map"
    is_loop = True
    sizes = int_tuple()
    inits = operands()
    body = region()

    @property
    def indices(self) -> list[Value]:
        return self.body.args[: len(self.sizes)]

    @property
    def sums(self) -> list[Value]:
        """The sums so far, inside."""
        return self.body.args[len(self.sizes) :]

    @property
    def next_sums(self) -> tuple[Value, ...]:
        return self.body.terminator.operands[: len(self.inits)]

    @property
    def elements(self) -> tuple[Value, ...]:
        """What each point gives to be stacked."""
        return self.body.terminator.operands[len(self.inits) :]

    @property
    def totals(self) -> tuple[Value, ...]:
        return self.results[: len(self.inits)]

    @property
    def stacks(self) -> tuple[Value, ...]:
        return self.results[len(self.inits) :]

    def states(self) -> Iterable[Value]:
        """Every value in the region that a sum is at some time."""
        followed = Sums(self.sums)
        followed.misused(self.body)
        return followed.origin

    @property
    def taking(self) -> Sequence[Block]:
        return (self.body,)

    @property
    def yielding(self) -> Sequence[Block]:
        return (self.body,)

    def flows(self) -> Sequence[Flow]:
        count, rank = len(self.inits), len(self.sizes)
        sums = [Flow(self, i, rank + i, i, repeats=True) for i in range(count)]
        return sums + [Flow(self, result=i, sliced=True) for i in range(count, len(self.results))]

    def drivers(self) -> Sequence[Value]:
        return ()

    @property
    def surely_runs(self) -> bool:
        return 0 not in self.sizes

    def indexes(self) -> Mapping[Value, int | None]:
        return dict(zip(self.indices, self.sizes, strict=True))

    def infer(self) -> Sequence[Type]:
        sums = [value.type for value in self.inits]
        elements = [value.type for value in self.elements]
        return sums + [
            TensorType((*self.sizes, *type_.shape), type_.dtype)
            for type_ in elements
            if isinstance(type_, TensorType)
        ]

    def verify_(self) -> None:
        sums = [value.type for value in self.inits]
        args = [arg.type for arg in self.body.args]
        self.require(1, args == [INDEX] * len(self.sizes) + sums, "block arguments")
        self.require(2, list(self.result_types) == list(self.infer()), "result types")
        self.require(3, [value.type for value in self.next_sums] == sums, "types of sums change")
        states = Sums(self.sums)
        misuse = states.misused(self.body)
        by = "" if misuse is None else misuse.name
        self.require(4, misuse is None, "a sum is only added to, but `{}` uses it otherwise", by)
        pairs = zip(self.next_sums, self.sums, strict=True)
        self.require(4, all(states.is_next(*pair) for pair in pairs), "a sum is replaced")
        stacked = any(value in states.origin for value in self.elements)
        self.require(4, not stacked, "a sum is stacked before it is complete")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        types = [v.type for v in self.stacks if isinstance(v.type, TensorType)]
        outs = [np.zeros(t.shape, t.dtype.numpy) for t in types]
        sums = list(operands)
        for point in np.ndindex(*self.sizes):
            arguments = [*(np.asarray(i, np.int64) for i in point), *sums]
            given = interpreter.run_block(self.body, arguments)
            sums = list(given[: len(sums)])
            for out, element in zip(outs, given[len(sums) :], strict=True):
                out[point] = element
        return [*sums, *outs]

    def cost(self) -> Cost:
        return cost_of(self.body) * prod(self.sizes)


def cost_of(block: Block) -> Cost:
    """The work of running a block once."""
    total = Cost()
    for op in block:
        if not op.has(Trait.TERMINATOR):
            total += op.cost()
    return total


def make_if(builder: Builder, condition: Value, on_true: Block, on_false: Block) -> If:
    """Both blocks end in `control.yield` already."""
    return builder.insert(If([condition], None, [Region(on_true), Region(on_false)]))


def make_map(
    builder: Builder, sizes: Sequence[int], body: Block, inits: Sequence[Value] = ()
) -> Map:
    """`body` takes an index for each size and each sum, and ends in `control.yield` already."""
    return builder.insert(Map(inits, {"sizes": tuple(sizes)}, [Region(body)]))


def make_yield(builder: Builder, values: Sequence[Value]) -> Yield:
    """End a region."""
    return builder.insert(Yield(values))
