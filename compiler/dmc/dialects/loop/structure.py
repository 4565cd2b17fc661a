"""Functions over buffers, and structured control flow with values carried in registers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dmc.ir.attributes import SymbolRef
from dmc.ir.declarations import Trait, attribute
from dmc.ir.operation import (
    Block,
    Interpreter,
    Operation,
    Value,
    operand,
    operands,
    region,
)
from dmc.ir.types import Array, DType, MemRefType, ScalarType, Type, VectorType

INDEX = ScalarType(DType.I64)
"""The type of subscripts, trip counts and task numbers."""

BOOL = ScalarType(DType.BOOL)


def is_register(type_: Type) -> bool:
    """Whether values of the type live in registers: loops may carry them."""
    return isinstance(type_, ScalarType | VectorType)


class Yield(Operation):
    """Ends the region of a loop or branch with the values it hands on."""

    name = "loop.yield"
    traits = frozenset({Trait.TERMINATOR})
    values = operands()

    def infer(self) -> Sequence[Type]:
        return ()


class Return(Operation):
    """Ends a function; what it computes is in the buffers it was given."""

    name = "loop.return"
    traits = frozenset({Trait.TERMINATOR})

    def infer(self) -> Sequence[Type]:
        return ()


class Func(Operation):
    """A function on buffers and scalars; it returns nothing.

    A private function is called only from its module and may be compiled with any convention.

    C1: arguments are memrefs or scalars. C2: the body ends in `loop.return`.
    """

    name = "loop.func"
    sym_name = attribute(str)
    private = attribute(bool, False)
    body = region()

    def infer(self) -> Sequence[Type]:
        return ()

    def verify_(self) -> None:
        for arg in self.body.args:
            allowed = isinstance(arg.type, MemRefType | ScalarType)
            self.require(1, allowed, f"argument {arg} is neither memref nor scalar")
        self.require(2, isinstance(self.body.last, Return), "the body does not end in loop.return")


class Call(Operation):
    """Runs a function of the module on buffers and scalars.

    C1: the callee is a function of the module. C2: it takes the arguments.
    """

    name = "loop.call"
    traits = frozenset({Trait.EFFECT})
    callee = attribute(SymbolRef)
    arguments = operands()

    def infer(self) -> Sequence[Type]:
        return ()

    def verify_symbols(self, symbols: Mapping[str, Operation]) -> None:
        callee = symbols.get(self.callee.name)
        self.require(1, isinstance(callee, Func), "there is no function {}", self.callee)
        assert isinstance(callee, Func)
        wanted = tuple(arg.type for arg in callee.body.args)
        self.require(2, self.operand_types == wanted, "{} takes {}", self.callee, list(wanted))

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        interpreter.call(self.callee.name, operands)
        return ()


class For(Operation):
    """`for i = lower to upper step step`, carrying values from iteration to iteration.

    The region has the arguments `i` and the carried values, and yields their next values. With
    `lower >= upper` the results are the initial values.

    C1: the step is positive. C2: carried values are scalars or vectors, the same in the operands,
    the region's arguments and the yield. C3: the bounds are `i64`.
    """

    name = "loop.for"
    lower = operand()
    upper = operand()
    inits = operands()
    step = attribute(int, 1)
    body = region()

    def infer(self) -> Sequence[Type]:
        return [value.type for value in self.inits]

    @property
    def variable(self) -> Value:
        return self.body.args[0]

    @property
    def carried(self) -> Sequence[Value]:
        return self.body.args[1:]

    def verify_(self) -> None:
        self.require(1, self.step > 0, "the step is not positive")
        types = [value.type for value in self.inits]
        self.require(2, all(map(is_register, types)), "a carried value is not a scalar or vector")
        _require_yield(self, 2, self.body, types)
        self.require(2, [a.type for a in self.body.args] == [INDEX, *types], "arguments differ")
        self.require(3, self.lower.type == self.upper.type == INDEX, "a bound is not i64")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        lower, upper, *carried = operands
        for i in range(int(lower), int(upper), self.step):
            carried = interpreter.run_block(self.body, [np.asarray(i), *carried])
        return carried


class While(Operation):
    """Carries values while the condition region, run on them, yields true.

    C1: carried values are scalars or vectors, the same in operands, both regions' arguments and
    the body's yield. C2: the condition yields one `i1`.
    """

    name = "loop.while"
    inits = operands()
    condition = region()
    body = region()

    def infer(self) -> Sequence[Type]:
        return [value.type for value in self.inits]

    def verify_(self) -> None:
        types = [value.type for value in self.inits]
        self.require(1, all(map(is_register, types)), "a carried value is not a scalar or vector")
        for block in (self.condition, self.body):
            self.require(1, [arg.type for arg in block.args] == types, "arguments differ")
        _require_yield(self, 1, self.body, types)
        _require_yield(self, 2, self.condition, [BOOL])

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        carried = list(operands)
        while bool(interpreter.run_block(self.condition, carried)[0]):
            carried = interpreter.run_block(self.body, carried)
        return carried


class If(Operation):
    """Runs one of two regions; the results are what it yields. `rare`: seldom the first.

    C1: the condition is an `i1`. C2: both regions take no arguments and yield scalars or vectors
    of the result types.
    """

    name = "loop.if"
    rare = attribute(bool, default=False)
    condition = operand()
    then = region()
    otherwise = region()

    def infer(self) -> Sequence[Type]:
        return self.then.terminator.operand_types

    def verify_(self) -> None:
        self.require(1, self.condition.type == BOOL, "the condition is not an i1")
        types = list(self.result_types)
        self.require(2, all(map(is_register, types)), "a result is not a scalar or vector")
        for block in (self.then, self.otherwise):
            self.require(2, not block.args, "a branch has arguments")
            _require_yield(self, 2, block, types)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        return interpreter.run_block(self.then if bool(operands[0]) else self.otherwise, [])


class Parallel(Operation):
    """Runs the region for every task number in `0 .. tasks`, in any order, on any thread.

    Tasks write disjoint memory and do not read what others write; a `loop.alloca` inside is
    private to the task. The number of tasks is fixed when the program is compiled, so that
    results never depend on how many threads there are.

    C1: the region has one `i64` argument and yields nothing. C2: it is in no other parallel loop.
    """

    name = "loop.parallel"
    traits = frozenset({Trait.EFFECT})
    tasks = attribute(int)
    body = region()

    def infer(self) -> Sequence[Type]:
        return ()

    def verify_(self) -> None:
        self.require(1, [arg.type for arg in self.body.args] == [INDEX], "wants one i64 argument")
        _require_yield(self, 1, self.body, [])
        outer = self.parent_op
        while outer is not None:
            self.require(2, not isinstance(outer, Parallel), "parallel loops do not nest")
            outer = outer.parent_op

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        # Backwards, so that a dependence of one task on an earlier one shows.
        for task in reversed(range(self.tasks)):
            interpreter.run_block(self.body, [np.asarray(task)])
        return ()


class Poll(Operation):
    """Ends the call where somebody wants it to end; else it does nothing.

    What stands in loops that may run for long. Behind `loop.parallel` it ends the call that tasks
    have ended for themselves.
    """

    name = "loop.poll"
    traits = frozenset({Trait.EFFECT})

    def infer(self) -> Sequence[Type]:
        return ()

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        return ()


def _require_yield(op: Operation, number: int, block: Block, types: Sequence[Type]) -> None:
    last = block.last
    op.require(number, isinstance(last, Yield), "a region does not end in loop.yield")
    if last is not None:
        op.require(number, list(last.operand_types) == list(types), "a region yields other types")
