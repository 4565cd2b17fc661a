"""Loops: a count of iterations, or a condition; what they carry, scan and stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from dmc.dialects.control.regions import INDEX, PREDICATE, cost_of
from dmc.dialects.control.tapes import blank, entry, stacked, unstacked
from dmc.dialects.elementwise import constant_array
from dmc.dialects.flow import ControlFlow, Flow
from dmc.ir import (
    Array,
    Attribute,
    Block,
    Builder,
    Cost,
    Interpreter,
    Region,
    TapeType,
    TensorType,
    Type,
    Value,
    attribute,
    operand,
    operands,
    region,
)


class Loop(ControlFlow):
    """Base of loops: iterations one after the other carry values and stack others.

    The region `repeated` takes the carried values from argument `first_carried` on and yields their
    next values, then what is stacked. Results: the last carried values, then the stacks.
    """

    is_loop = True
    first_carried: ClassVar[int]

    @property
    def repeated(self) -> Block:
        """The region that an iteration runs."""
        raise TypeError(f"{self.name} does not say what it repeats")

    @property
    def inits(self) -> tuple[Value, ...]:
        """What the carried values are at first."""
        raise TypeError(f"{self.name} does not say what it carries")

    @property
    def extent(self) -> int:
        """The greatest number of iterations there can be; -1 where that is not known."""
        return -1

    @property
    def scanned(self) -> tuple[Value, ...]:
        return ()

    @property
    def scanned_args(self) -> list[Value]:
        return []

    @property
    def carried_args(self) -> list[Value]:
        first = self.first_carried
        return self.repeated.args[first : first + len(self.inits)]

    @property
    def next_values(self) -> tuple[Value, ...]:
        """The carried values after one iteration."""
        return self.repeated.terminator.operands[: len(self.inits)]

    @property
    def stacked_values(self) -> tuple[Value, ...]:
        """What one iteration adds to the stacked results."""
        return self.repeated.terminator.operands[len(self.inits) :]

    @property
    def finals(self) -> tuple[Value, ...]:
        return self.results[: len(self.inits)]

    @property
    def stacks(self) -> tuple[Value, ...]:
        return self.results[len(self.inits) :]

    @property
    def yielding(self) -> Sequence[Block]:
        return (self.repeated,)

    def infer(self) -> Sequence[Type]:
        inits = [value.type for value in self.inits]
        return [*inits, *(stacked(v.type, self.extent) for v in self.stacked_values)]

    # Growing, while a derivative is built

    def add_carried(self, init: Value, name: str = "") -> tuple[Value, Value]:
        """Carry one more value, behind the others: its argument, and what the loop leaves of it.

        `set_next` gives it its next value.
        """
        at = len(self.inits)
        place = self.first_carried + at
        for block in self.taking:
            arg = block.add_arg(init.type, name)
            block.arrange_args([*block.args[:place], arg, *block.args[place:-1]])
        arg = self.repeated.args[place]
        self.repeated.terminator.insert_operand(at, arg)
        self._insert_init(init)
        return arg, self.insert_result(at, init.type, name)

    def _insert_init(self, init: Value) -> None:
        """Insert the operand that one more carried value begins with."""
        self.insert_operand(self.first_carried + len(self.inits), init)

    def set_next(self, arg: Value, value: Value) -> None:
        """Carry `value` on from the argument `arg`."""
        self.repeated.terminator.set_operand(self.carried_args.index(arg), value)

    def add_stack(self, value: Value) -> Value:
        """Stack one more value of an iteration."""
        terminator = self.repeated.terminator
        terminator.insert_operand(len(terminator.operands), value)
        type_ = stacked(value.type, self.extent)
        return self.insert_result(len(self.results), type_, value.name)


class For(Loop):
    """`control.for`: a counted loop, `count` times, the index running up from 0.

    Operands: the count, the initial values of `carried` values, then scanned tensors whose leading
    axis is the iteration, or tapes. Block arguments: index, carried values, one slice of each
    scanned tensor or tape. The region yields the next carried values, then values to stack.
    Results: the last carried values, then the stacked values with a leading axis of `extent`.

    `trip_count` is -1 when the count is known only at run time; `most` is then the greatest that it
    can be, or -1. One or the other is the `extent`; nothing may depend on what is stacked behind
    the count. Without an extent, values are stacked on tapes, and only tapes are scanned: those of
    loops that have run as often. With `reverse` the index runs from
    `count - 1` down to 0; scanned and stacked positions are still given by the index.
    `checkpoint`: what reverse mode may keep: 0 is everything, -1 carried values at about every
    sqrt(count)-th step, k > 0 carried values at every k-th step.
    `tasks`: iterations, which carry nothing then, run in parallel with memory of their own.

    C1: the count is a 0-d `i64`.  C2: a scanned tensor has a leading axis of `extent`.
    C3: block arguments have the types above.  C4: yielded carried values keep their types.
    C5: results have the types above.  C6: a known count is the `trip_count`; it and `most` are -1
    or more.  C7: there are as many carried values as `carried` says.  C8: `tasks` are counted,
    carry nothing, and neither scan nor stack tapes.
    """

    name = "control.for"
    first_carried = 1
    carried = attribute(int)
    trip_count = attribute(int, default=-1)
    most = attribute(int, default=-1)
    reverse = attribute(bool, default=False)
    checkpoint = attribute(int, default=0)
    tasks = attribute(bool, default=False)
    count = operand()
    values = operands()
    body = region()

    @property
    def repeated(self) -> Block:
        return self.body

    @property
    def extent(self) -> int:
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
    def scanned_args(self) -> list[Value]:
        return self.body.args[1 + self.carried :]

    @property
    def taking(self) -> Sequence[Block]:
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

    def _insert_init(self, init: Value) -> None:
        super()._insert_init(init)
        self.attributes["carried"] = self.carried + 1

    def add_scanned(self, values: Value) -> Value:
        """Scan one more tensor or tape: the argument that is a slice of it."""
        self.insert_operand(len(self.operands), values)
        return self.body.add_arg(unstacked(values.type), values.name)

    def verify_(self) -> None:
        self.require(1, self.count.type == INDEX, "the count is not a 0-d i64")
        self.require(6, min(self.trip_count, self.most) >= -1, "a count below 0")
        known = constant_array(self.count)
        fits = self.trip_count < 0 or known is None or max(int(known), 0) == self.trip_count
        self.require(6, fits, f"the count is {known}, and the trip count {self.trip_count}")
        yielded = len(self.body.terminator.operands)
        enough = 0 <= self.carried <= min(len(self.values), yielded)
        self.require(7, enough, f"carries {self.carried} of {len(self.values)} values")
        taped = any(isinstance(value.type, TapeType) for value in (*self.values, *self.results))
        apart = self.trip_count >= 0 and not self.carried and not taped
        self.require(8, apart or not self.tasks, "iterations that are no tasks")
        expected = [INDEX, *(value.type for value in self.inits)]
        for value in self.scanned:
            type_ = value.type
            ok = isinstance(type_, TensorType) and type_.shape[:1] == (self.extent,)
            ok |= isinstance(type_, TapeType) and type_ == stacked(type_.element, self.extent)
            self.require(2, ok, f"scanned {type_} lacks a leading axis of {self.extent}")
            if isinstance(type_, TensorType | TapeType):
                expected.append(unstacked(type_))
        self.require(3, [arg.type for arg in self.body.args] == expected, "block arguments")
        nexts = [value.type for value in self.next_values]
        self.require(4, nexts == [value.type for value in self.inits], "carried types change")
        self.require(5, list(self.result_types) == list(self.infer()), "result types")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        count = max(int(operands[0]), 0)
        state = list(operands[1 : 1 + self.carried])
        scanned = list(zip(operands[1 + self.carried :], self.scanned_args, strict=True))
        stacks = [blank(value.type, count) for value in self.stacks]
        steps = range(count - 1, -1, -1) if self.reverse else range(count)
        for i in steps:
            slices = (entry(values, i, arg.type) for values, arg in scanned)
            arguments = [np.asarray(i, np.int64), *state, *slices]
            out = interpreter.run_block(self.body, arguments)
            state = out[: self.carried]
            for stack, element in zip(stacks, out[self.carried :], strict=True):
                stack[i] = element
        return [*state, *stacks]

    def cost(self) -> Cost:
        return cost_of(self.body) * max(self.extent, 1)


class While(Loop):
    """`control.while`: repeats `body` as long as `condition` holds; operands are carried values.

    The body yields the next carried values, then values to stack on tapes. `checkpoint` is as of
    `control.for`.

    C1: both regions take the carried types.  C2: `condition` yields a 0-d `i1`.
    C3: `body` yields the carried types first; results are of these, then tapes.
    """

    name = "control.while"
    first_carried = 0
    checkpoint = attribute(int, default=0)
    values = operands()
    condition = region()
    body = region()

    @property
    def repeated(self) -> Block:
        return self.body

    @property
    def inits(self) -> tuple[Value, ...]:
        return self.values

    @property
    def taking(self) -> Sequence[Block]:
        return (self.condition, self.body)

    def flows(self) -> Sequence[Flow]:
        carried = len(self.operands)
        return [
            *(Flow(self, i, i, i, repeats=True) for i in range(carried)),
            *(Flow(self, result=i, sliced=True) for i in range(carried, len(self.results))),
        ]

    def drivers(self) -> Sequence[Value]:
        return self.condition.terminator.operands

    def verify_(self) -> None:
        types = [value.type for value in self.inits]
        for block in (self.condition, self.body):
            self.require(1, [arg.type for arg in block.args] == types, "block arguments")
        test = self.condition.terminator.operand_types
        self.require(2, test == (PREDICATE,), "the condition is not one 0-d i1")
        nexts = [value.type for value in self.next_values]
        self.require(3, nexts == types, "carried types change")
        self.require(3, list(self.result_types) == list(self.infer()), "result types")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        state = list(operands)
        kept: list[Sequence[Array]] = []
        while interpreter.run_block(self.condition, state)[0]:
            out = interpreter.run_block(self.body, state)
            state = list(out[: len(operands)])
            kept.append(out[len(operands) :])
        stacks = [blank(value.type, len(kept)) for value in self.stacks]
        for i, row in enumerate(kept):
            for stack, element in zip(stacks, row, strict=True):
                stack[i] = element
        return [*state, *stacks]

    def cost(self) -> Cost:
        """That of one iteration."""
        return cost_of(self.condition) + cost_of(self.body)


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
    tasks: bool = False,
) -> For:
    """`body` has the arguments described at `For` and ends in `control.yield` already."""
    attributes: dict[str, Attribute] = {
        "carried": len(inits),
        "trip_count": trip_count,
        "most": most,
        "reverse": reverse,
        "checkpoint": checkpoint,
        "tasks": tasks,
    }
    return builder.insert(For([count, *inits, *scanned], attributes, [Region(body)]))


def make_while(
    builder: Builder, inits: Sequence[Value], condition: Block, body: Block, checkpoint: int = 0
) -> While:
    """Both blocks take the carried values and end in `control.yield` already."""
    regions = [Region(condition), Region(body)]
    return builder.insert(While(inits, {"checkpoint": checkpoint}, regions))
