"""`control`: structured control flow at tensor and kernel level.

Regions may use values defined around them. Loop indexes are 0-d `i64` tensors. Batch rules are in
`transforms/batch_maps`, tangents and adjoints in `autodiff/`: both transform whole regions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np

from dmc.dialects import arith
from dmc.dialects.elementwise import constant_array
from dmc.dialects.flow import ControlFlow, Flow
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


def stacked(type_: Type, count: int) -> TensorType:
    """`count` values of tensor type `type_` along a new leading axis."""
    if not isinstance(type_, TensorType):
        raise TypeError(f"{type_} cannot be stacked")
    return TensorType((count, *type_.shape), type_.dtype)


class Yield(Operation):
    """`control.yield`: ends a region of control flow."""

    name = "control.yield"
    traits = frozenset({Trait.TERMINATOR})
    values = operands()

    def infer(self) -> Sequence[Type]:
        return ()


class If(ControlFlow):
    """`control.if`: the results of one of two regions without arguments.

    C1: the condition is a 0-d `i1`.  C2: both regions yield the result types.
    """

    name = "control.if"
    is_loop = False
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
                else arith.zeros(Builder.ahead_of(block.terminator), value.type)
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


class For(ControlFlow):
    """`control.for`: a counted loop, `count` times, the index running up from 0.

    Operands: the count, the initial values of `carried` values, then scanned tensors whose leading
    axis is the iteration. Block arguments: index, carried values, one slice of each scanned tensor.
    The region yields the next carried values, then values to stack. Results: the last carried
    values, then the stacked values with a leading axis of `extent`.

    `trip_count` is -1 when the count is known only at run time; `most` is then the greatest that it
    can be, or -1. One or the other is the `extent`; nothing may depend on what is stacked behind
    the count. With `reverse` the index runs from
    `count - 1` down to 0; scanned and stacked positions are still given by the index.
    `checkpoint`: what reverse mode may keep: 0 is everything, -1 carried values at about every
    sqrt(count)-th step, k > 0 carried values at every k-th step.

    C1: the count is a 0-d `i64`.  C2: scanned and stacked values need an `extent`.
    C3: block arguments have the types above.  C4: yielded carried values keep their types.
    C5: results have the types above.  C6: a known count is the `trip_count`; it and `most` are -1
    or more.  C7: there are as many carried values as `carried` says.
    """

    name = "control.for"
    is_loop = True
    carried = attribute(int)
    trip_count = attribute(int, default=-1)
    most = attribute(int, default=-1)
    reverse = attribute(bool, default=False)
    checkpoint = attribute(int, default=0)
    count = operand()
    values = operands()
    body = region()

    @property
    def extent(self) -> int:
        """The greatest count there can be; -1 where that is not known."""
        return self.trip_count if self.trip_count >= 0 else self.most

    @property
    def inits(self) -> tuple[Value, ...]:
        return self.values[: self.carried]

    @property
    def scanned(self) -> tuple[Value, ...]:
        return self.values[self.carried :]

    @property
    def index(self) -> Value:
        return self.body.args[0]

    @property
    def carried_args(self) -> list[Value]:
        return self.body.args[1 : 1 + self.carried]

    @property
    def scanned_args(self) -> list[Value]:
        return self.body.args[1 + self.carried :]

    @property
    def next_values(self) -> tuple[Value, ...]:
        """The carried values after one iteration."""
        return self.body.terminator.operands[: self.carried]

    @property
    def stacked_values(self) -> tuple[Value, ...]:
        """What one iteration adds to the stacked results."""
        return self.body.terminator.operands[self.carried :]

    @property
    def finals(self) -> tuple[Value, ...]:
        return self.results[: self.carried]

    @property
    def stacks(self) -> tuple[Value, ...]:
        return self.results[self.carried :]

    @property
    def taking(self) -> Sequence[Block]:
        return (self.body,)

    @property
    def yielding(self) -> Sequence[Block]:
        return (self.body,)

    def flows(self) -> Sequence[Flow]:
        carried = range(self.carried)
        return [
            *(Flow(self, 1 + i, 1 + i, i, repeats=True) for i in carried),
            *(Flow(self, i, i, sliced=True) for i in range(1 + self.carried, len(self.operands))),
            *(Flow(self, result=i, sliced=True) for i in range(self.carried, len(self.results))),
        ]

    def slices(self, operand: int) -> bool:
        return operand > self.carried

    def drivers(self) -> Sequence[Value]:
        return (self.count,)

    @property
    def surely_runs(self) -> bool:
        return self.trip_count > 0

    def indexes(self) -> Mapping[Value, int | None]:
        return {self.index: self.extent if self.extent >= 0 else None}

    def attributes_of(self, kept: Sequence[Flow]) -> dict[str, Attribute]:
        return {**self.attributes, "carried": sum(flow.repeats for flow in kept)}

    # Growing, while a derivative is built

    def add_carried(self, init: Value, name: str = "") -> tuple[Value, Value]:
        """Carry one more value, behind the others: its argument, and what the loop leaves of it.

        `set_next` gives it its next value.
        """
        at = self.carried
        arg = self.body.add_arg(init.type, name)
        self.body.arrange_args([*self.body.args[: 1 + at], arg, *self.body.args[1 + at : -1]])
        self.body.terminator.insert_operand(at, arg)
        self.insert_operand(1 + at, init)
        self.attributes["carried"] = at + 1
        return arg, self.insert_result(at, init.type, name)

    def set_next(self, arg: Value, value: Value) -> None:
        """Carry `value` on from the argument `arg`."""
        self.body.terminator.set_operand(self.carried_args.index(arg), value)

    def add_scanned(self, tensor: Value) -> Value:
        """Scan one more tensor: the argument that is a slice of it."""
        assert isinstance(tensor.type, TensorType)
        self.insert_operand(len(self.operands), tensor)
        return self.body.add_arg(TensorType(tensor.type.shape[1:], tensor.type.dtype), tensor.name)

    def add_stack(self, value: Value) -> Value:
        """Stack one more value of the body."""
        terminator = self.body.terminator
        terminator.insert_operand(len(terminator.operands), value)
        type_ = stacked(value.type, self.extent)
        return self.insert_result(len(self.results), type_, value.name)

    def infer(self) -> Sequence[Type]:
        inits = [value.type for value in self.inits]
        return [*inits, *(stacked(v.type, self.extent) for v in self.stacked_values)]

    def verify_(self) -> None:
        self.require(1, self.count.type == INDEX, "the count is not a 0-d i64")
        self.require(6, min(self.trip_count, self.most) >= -1, "a count below 0")
        known = constant_array(self.count)
        fits = self.trip_count < 0 or known is None or max(int(known), 0) == self.trip_count
        self.require(6, fits, f"the count is {known}, and the trip count {self.trip_count}")
        yielded = len(self.body.terminator.operands)
        enough = 0 <= self.carried <= min(len(self.values), yielded)
        self.require(7, enough, f"carries {self.carried} of {len(self.values)} values")
        whole = self.scanned or self.stacked_values
        self.require(2, not whole or self.extent >= 0, "scanning needs a bound of the count")
        expected = [INDEX, *(value.type for value in self.inits)]
        for value in self.scanned:
            ok = isinstance(value.type, TensorType) and value.type.shape[:1] == (self.extent,)
            self.require(2, ok, f"scanned {value.type} lacks a leading axis of {self.extent}")
            if isinstance(value.type, TensorType):
                expected.append(TensorType(value.type.shape[1:], value.type.dtype))
        self.require(3, [arg.type for arg in self.body.args] == expected, "block arguments")
        nexts = [value.type for value in self.next_values]
        self.require(4, nexts == [value.type for value in self.inits], "carried types change")
        self.require(5, list(self.result_types) == list(self.infer()), "result types")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        count = max(int(operands[0]), 0)
        state = list(operands[1 : 1 + self.carried])
        scanned = operands[1 + self.carried :]
        stacks = [np.zeros(t.shape, t.dtype.numpy) for t in self._stack_types()]
        steps = range(count - 1, -1, -1) if self.reverse else range(count)
        for i in steps:
            arguments = [np.asarray(i, np.int64), *state, *(xs[i] for xs in scanned)]
            out = interpreter.run_block(self.body, arguments)
            state = out[: self.carried]
            for stack, element in zip(stacks, out[self.carried :], strict=True):
                stack[i] = element
        return [*state, *stacks]

    def _stack_types(self) -> list[TensorType]:
        return [v.type for v in self.stacks if isinstance(v.type, TensorType)]

    def cost(self) -> Cost:
        return cost_of(self.body) * max(self.extent, 1)


class While(ControlFlow):
    """`control.while`: repeats `body` as long as `condition` holds; operands are carried values.

    C1: both regions take the carried types.  C2: `condition` yields a 0-d `i1`.
    C3: `body` yields the carried types, which are the result types.
    """

    name = "control.while"
    is_loop = True
    inits = operands()
    condition = region()
    body = region()

    @property
    def taking(self) -> Sequence[Block]:
        return (self.condition, self.body)

    @property
    def yielding(self) -> Sequence[Block]:
        return (self.body,)

    def flows(self) -> Sequence[Flow]:
        return [Flow(self, i, i, i, repeats=True) for i in range(len(self.operands))]

    def drivers(self) -> Sequence[Value]:
        return self.condition.terminator.operands

    def infer(self) -> Sequence[Type]:
        return [value.type for value in self.inits]

    def verify_(self) -> None:
        types = [value.type for value in self.inits]
        for block in (self.condition, self.body):
            self.require(1, [arg.type for arg in block.args] == types, "block arguments")
        test = self.condition.terminator.operand_types
        self.require(2, test == (PREDICATE,), "the condition is not one 0-d i1")
        self.require(3, list(self.body.terminator.operand_types) == types, "carried types change")
        self.require(3, list(self.result_types) == types, "result types")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        state = list(operands)
        while interpreter.run_block(self.condition, state)[0]:
            state = interpreter.run_block(self.body, state)
        return state

    def cost(self) -> Cost:
        """That of one iteration."""
        return cost_of(self.condition) + cost_of(self.body)


class Map(ControlFlow):
    """`control.map`: the region run independently for every point of an index space.

    Operands are what sums begin with. Block arguments: the indexes, then the sums so far. The
    region yields each sum with something added to it, then what is stacked. Results: the sums,
    then what was stacked, along leading axes of `sizes`.

    To a sum a point only adds, in place where it adds to an element (`tensor.dynamic_update_slice`,
    `tensor.scatter`, a loop that adds): so the adjoint of a map costs what its points read. Points
    add in row-major order here; compiled, in an order that sizes decide.

    C1: a 0-d `i64` for each size, then the types of the sums as block arguments.  C2: result types
    follow.  C3: sums keep their types.
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


def make_for(
    builder: Builder,
    count: Value,
    inits: Sequence[Value],
    scanned: Sequence[Value],
    body: Block,
    trip_count: int = -1,
    reverse: bool = False,
    checkpoint: int = 0,
    most: int = -1,
) -> For:
    """`body` has the arguments described at `For` and ends in `control.yield` already."""
    attributes: dict[str, Attribute] = {
        "carried": len(inits),
        "trip_count": trip_count,
        "most": most,
        "reverse": reverse,
        "checkpoint": checkpoint,
    }
    return builder.insert(For([count, *inits, *scanned], attributes, [Region(body)]))


def make_while(builder: Builder, inits: Sequence[Value], condition: Block, body: Block) -> While:
    """Both blocks take the carried values and end in `control.yield` already."""
    return builder.insert(While(inits, None, [Region(condition), Region(body)]))


def make_map(
    builder: Builder, sizes: Sequence[int], body: Block, inits: Sequence[Value] = ()
) -> Map:
    """`body` takes an index for each size and each sum, and ends in `control.yield` already."""
    return builder.insert(Map(inits, {"sizes": tuple(sizes)}, [Region(body)]))


def make_yield(builder: Builder, values: Sequence[Value]) -> Yield:
    """End a region."""
    return builder.insert(Yield(values))
