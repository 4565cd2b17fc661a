"""`autodiff`: requests for derivatives, which the pass `expand-autodiff` turns into ordinary IR."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np

from dmc.dialects import func
from dmc.dialects.elementwise import Same, Unary, constant_array
from dmc.ir import (
    Array,
    Attribute,
    Batched,
    Block,
    Builder,
    Cost,
    Interpreter,
    Operation,
    SymbolRef,
    Type,
    Value,
    attribute,
    int_tuple,
    operand,
    operands,
    result,
)
from dmc_runtime.budget import NO_BUDGET, Budget, Keep


class StopGradient(Operation):
    """`autodiff.stop_gradient`: the operand, of which derivatives see a constant."""

    name = "autodiff.stop_gradient"
    operand = operand()
    result = result()

    def infer(self) -> Sequence[Type]:
        return (self.operand.type,)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        return operands

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        return (None,)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        return (None,)

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        new = builder.insert(StopGradient([operands[0].value]))
        return (Batched(new.result, operands[0].axes),)

    def cost(self) -> Cost:
        return Cost()


class Direction(Unary):
    """`autodiff.direction`: the operand, a tangent or cotangent that a caller gives.

    Its zeros are meant: what lies in their direction contributes nothing (see `relax-guards`).
    """

    name = "autodiff.direction"
    computes = False
    numpy = np.positive
    terms = (Same(),)
    flops = 0

    def fold(self) -> Sequence[Value | Attribute] | None:
        return (self.operand,) if constant_array(self.operand) is not None else None


def given(builder: Builder, vector: Value) -> Value:
    """`vector`, marked as a direction where it is one that the caller of the program chooses."""
    owner = vector.owner
    if isinstance(owner, Block) and isinstance(owner.parent_op, func.Func):
        return builder.insert(Direction([vector])).result
    return vector


class _Derivative(Operation):
    """A call of `callee` together with a derivative of it.

    Operands: the callee's arguments, then the vectors. `wrt` are the indexes of arguments and `of`
    those of results that take part.

    C1: the callee is a function of the module.  C2: `wrt` and `of` are among its arguments and
    results, each once.  C3: operands and results have the types that follow.
    """

    callee = attribute(SymbolRef)
    wrt = int_tuple()
    of = int_tuple()
    values = operands()

    @property
    def vector_count(self) -> int:
        raise TypeError("only a jvp or vjp has vectors")

    @property
    def arguments(self) -> tuple[Value, ...]:
        return self.values[: len(self.values) - self.vector_count]

    @property
    def vectors(self) -> tuple[Value, ...]:
        return self.values[len(self.values) - self.vector_count :]

    def verify_symbols(self, symbols: Mapping[str, Operation]) -> None:
        type_ = func.callee_of(self, self.callee, symbols).function_type
        for name, chosen, count in (
            ("wrt", self.wrt, len(type_.inputs)),
            ("of", self.of, len(type_.results)),
        ):
            distinct = len(set(chosen)) == len(chosen) and set(chosen) <= set(range(count))
            self.require(2, distinct, f"{name} is {list(chosen)}, of {count}")
        arguments = [type_.inputs[i] for i in self.wrt]
        results = [type_.results[i] for i in self.of]
        vectors, derivatives = self.passed(arguments, results)
        operands = (*type_.inputs, *vectors)
        self.require(3, self.operand_types == operands, "operands of {}", self.callee)
        outputs = (*type_.results, *derivatives)
        self.require(3, self.result_types == outputs, "results of {}", self.callee)

    def passed(
        self, arguments: Sequence[Type], results: Sequence[Type]
    ) -> tuple[Sequence[Type], Sequence[Type]]:
        """The types of the vectors and of the derivatives, of those of what takes part."""
        raise TypeError("only a jvp or vjp has vectors")

    def cost(self) -> Cost:
        return Cost()


class Jvp(_Derivative):
    """`autodiff.jvp`: operands end with a tangent for each argument in `wrt`.

    Results: all results of the callee, then the tangents of the results in `of`.
    """

    name = "autodiff.jvp"

    @property
    def vector_count(self) -> int:
        return len(self.wrt)

    def passed(
        self, arguments: Sequence[Type], results: Sequence[Type]
    ) -> tuple[Sequence[Type], Sequence[Type]]:
        return arguments, results


class Vjp(_Derivative):
    """`autodiff.vjp`: operands end with a cotangent for each result in `of`.

    Results: all results of the callee, then the cotangents of the arguments in `wrt`. What is
    compiled with it may take `budget` bytes in its arena; 0 is no bound. Values that wait for the
    reverse pass may be kept as `keep` says for it.

    C4: the budget is not negative.  C5: `keep` is one of those that there are.
    """

    name = "autodiff.vjp"
    budget = attribute(int, default=0)
    keep = attribute(str, default=Keep.WHOLE.value)

    def verify_(self) -> None:
        self.require(4, self.budget >= 0, f"the budget is {self.budget}")
        self.require(5, any(self.keep == each.value for each in Keep), f"keeps as {self.keep}")

    @property
    def vector_count(self) -> int:
        return len(self.of)

    def passed(
        self, arguments: Sequence[Type], results: Sequence[Type]
    ) -> tuple[Sequence[Type], Sequence[Type]]:
        return results, arguments


def jvp(
    builder: Builder,
    callee: func.Func,
    arguments: Sequence[Value],
    tangents: Sequence[Value],
    wrt: Sequence[int],
    of: Sequence[int],
) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
    """Results of `callee` and tangents of those in `of`."""
    outputs = callee.function_type.results
    types = [*outputs, *(outputs[i] for i in of)]
    op = Jvp([*arguments, *tangents], _attributes(callee, wrt, of), result_types=types)
    results = builder.insert(op).results
    return results[: len(outputs)], results[len(outputs) :]


def vjp(
    builder: Builder,
    callee: func.Func,
    arguments: Sequence[Value],
    cotangents: Sequence[Value],
    wrt: Sequence[int],
    of: Sequence[int],
    budget: Budget = NO_BUDGET,
) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
    """Results of `callee` and cotangents of the arguments in `wrt`."""
    outputs = callee.function_type.results
    types = [*outputs, *(arguments[i].type for i in wrt)]
    attributes = _attributes(callee, wrt, of)
    if budget.bytes:
        attributes |= {"budget": budget.bytes, "keep": budget.keep.value}
    op = Vjp([*arguments, *cotangents], attributes, result_types=types)
    results = builder.insert(op).results
    return results[: len(outputs)], results[len(outputs) :]


def _attributes(callee: func.Func, wrt: Sequence[int], of: Sequence[int]) -> dict[str, Attribute]:
    return {"callee": SymbolRef(callee.sym_name), "wrt": tuple(wrt), "of": tuple(of)}


def budget_of(root: Operation) -> Budget:
    """What all requests inside ask for together."""
    asked = (Budget(op.budget, Keep(op.keep)) for op in root.walk() if isinstance(op, Vjp))
    return reduce(Budget.with_other, asked, NO_BUDGET)
