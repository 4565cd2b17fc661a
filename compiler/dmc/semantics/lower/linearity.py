"""Declared rules are linear in their vectors, checked on the IR that they were lowered to.

An operation is linear in some operands where its own derivative says so: the tangents along those
do not mention them, and what other operands add vanishes with them. Degrees follow the IR through
regions and calls.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence

from dmc.diagnostics.diagnostic import Diagnostic, Label
from dmc.diagnostics.errors import Error, error
from dmc.dialects import autodiff, control, func
from dmc.dialects.elementwise import splat_of
from dmc.ir import Block, Builder, Module, Operation, RuleMissing, Trait, Value, dtype_of

__all__ = ["Degree", "check_linear"]


class Degree(enum.Flag):
    """How a value depends on the vectors. Zero is both constant and linear."""

    ZERO = 0
    CONSTANT = enum.auto()
    LINEAR = enum.auto()
    OTHER = CONSTANT | LINEAR


def check_linear(module: Module, rule: func.Func, name: str, vectors: int) -> None:
    """Refuse a rule that is not linear in its last `vectors` arguments.

    Raises Error at the operation that is not.
    """
    degrees = [Degree.CONSTANT] * (len(rule.body.args) - vectors) + [Degree.LINEAR] * vectors
    reader = _Reader(module)
    reader.start(rule, degrees)
    for value in rule.body.terminator.operands:
        if reader.of(value) & Degree.CONSTANT and dtype_of(value.type).is_float:
            raise _not_linear(name, reader.culprits.get(value), rule)


def _not_linear(name: str, culprit: Operation | None, rule: func.Func) -> Error:
    span, text = rule.location.span, "this does not vanish with them"
    if culprit is not None and culprit.location.span is not None:
        span = culprit.location.span
        text = "vectors are added, and multiplied by what does not depend on them"
    assert span is not None
    title = f"`{name}` is not linear in its vectors"
    return error(Diagnostic("grad.linear", title, Label(span, text)))


class _Reader:
    """Degrees of the values of one function; `culprits` are what made values not linear."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.degrees: dict[Value, Degree] = {}
        self.culprits: dict[Value, Operation] = {}

    def start(self, function: func.Func, degrees: Sequence[Degree]) -> None:
        """Read a function whose arguments have these degrees."""
        self.degrees.update(zip(function.body.args, degrees, strict=True))
        self.block(function.body)

    def of(self, value: Value) -> Degree:
        """The degree of a value; what has not been met is constant."""
        if value not in self.degrees:
            self.degrees[value] = Degree.ZERO if splat_of(value) == 0 else Degree.CONSTANT
        return self.degrees[value]

    def block(self, block: Block) -> None:
        for op in block:
            if not op.has(Trait.TERMINATOR):
                self.operation(op)

    def operation(self, op: Operation) -> None:
        """Find the degrees of an operation's results."""
        match op:
            case control.If():
                for branch in (op.on_true, op.on_false):
                    self.block(branch)
                    self.pass_on(branch.terminator.operands, op.results)
                self.depend(op, [op.condition])
            case control.Map():
                self.repeat(op.inits, op.sums, [], op.body)
                self.pass_on(op.inits, op.totals)
                self.pass_on(op.body.terminator.operands, op.results)
            case control.For():
                self.pass_on(op.scanned, op.scanned_args)
                self.repeat(op.inits, op.carried_args, [], op.body)
                self.pass_on(op.inits, op.finals)
                self.pass_on(op.body.terminator.operands, op.results)
                self.depend(op, [op.count])
            case control.While():
                self.repeat(op.inits, op.body.args, op.condition.args, op.body)
                self.block(op.condition)
                self.pass_on(op.body.args, op.results)
                self.depend(op, op.condition.terminator.operands)
            case func.Call():
                self.call(op, func.lookup(self.module, op.callee.name))
            case autodiff.Jvp() | autodiff.Vjp():
                self.derivative(op)
            case _:
                degree = self.simple(op, [self.of(value) for value in op.operands])
                for value in op.results:
                    self.note(value, degree, op)

    # -- what is known of a value

    def note(self, value: Value, degree: Degree, op: Operation | None) -> bool:
        """Add to what is known; whether that said anything new."""
        before = self.degrees.get(value)
        self.degrees[value] = degree if before is None else before | degree
        if self.degrees[value] == Degree.OTHER and op is not None:
            inner = (self.culprits[v] for v in op.operands if v in self.culprits)
            self.culprits.setdefault(value, next(inner, op))
        return self.degrees[value] != before

    def pass_on(self, origins: Iterable[Value], values: Iterable[Value]) -> bool:
        """Each value may be its origin; whether that said anything new."""
        changed = False
        for origin, value in zip(origins, values, strict=False):
            if origin in self.culprits:
                self.culprits.setdefault(value, self.culprits[origin])
            changed |= self.note(value, self.of(origin), None)
        return changed

    def depend(self, op: Operation, conditions: Sequence[Value]) -> None:
        """Results that a condition chooses are not linear when it depends on vectors."""
        if any(self.of(condition) & Degree.LINEAR for condition in conditions):
            culprit = next((self.culprits[c] for c in conditions if c in self.culprits), op)
            for value in op.results:
                self.note(value, Degree.OTHER, culprit)

    # -- structured operations

    def repeat(
        self,
        inits: Sequence[Value],
        carried: Sequence[Value],
        tested: Sequence[Value],
        body: Block,
    ) -> None:
        """A loop, until no carried value depends in a new way; `tested` are the condition's."""
        self.pass_on(inits, carried)
        changed = True
        while changed:
            self.block(body)
            changed = self.pass_on(body.terminator.operands, carried)
        self.pass_on(carried, tested)

    def call(self, op: func.Call, callee: func.Func) -> None:
        results = self.results(callee, [self.of(value) for value in op.operands])
        for degree, result in zip(results, op.results, strict=True):
            self.note(result, degree, op)

    def results(self, callee: func.Func, degrees: Sequence[Degree]) -> list[Degree]:
        """Those of what a function gives for arguments of some degrees."""
        inner = _Reader(self.module)
        inner.start(callee, degrees)
        return [inner.of(value) for value in callee.body.terminator.operands]

    def derivative(self, op: autodiff.Jvp | autodiff.Vjp) -> None:
        """The partial derivative of what is linear in vectors is so too, and constant in them.

        That in an argument which depends on the vectors is constant, for it is their coefficient.
        """
        callee = func.lookup(self.module, op.callee)
        arguments = [self.of(value) for value in op.arguments]
        values = self.results(callee, arguments)
        # A derivative where an argument is zero need not be.
        inside = [Degree.CONSTANT if a == Degree.ZERO else a for a in arguments]
        results = self.results(callee, inside)
        vectors = [self.of(value) for value in op.vectors]
        partials = [[_partial(results[o], inside[i]) for i in op.wrt] for o in op.of]
        if isinstance(op, autodiff.Vjp):
            partials = [list(column) for column in zip(*partials, strict=True)]
        found = [_sum_of_products(row, vectors) for row in partials]
        for value, degree in zip(op.results, [*values, *found], strict=True):
            self.note(value, degree, op)

    # -- all others

    def simple(self, op: Operation, degrees: Sequence[Degree]) -> Degree:
        """The degree of the results of an operation whose derivative says all."""
        linear = {i for i, degree in enumerate(degrees) if degree & Degree.LINEAR}
        if Degree.OTHER in degrees:
            return Degree.OTHER
        if linear:
            return Degree.LINEAR if _is_linear(op, linear, degrees) else Degree.OTHER
        floats = {i for i, value in enumerate(op.operands) if dtype_of(value.type).is_float}
        is_zero = floats and all(degrees[i] == Degree.ZERO for i in floats)
        if is_zero and _is_linear(op, floats, degrees):
            return Degree.ZERO
        return Degree.ZERO if any(splat_of(v) == 0 for v in op.results) else Degree.CONSTANT


def _partial(result: Degree, argument: Degree) -> Degree:
    """The degree of the derivative of a result in an argument, by theirs."""
    if not argument & Degree.LINEAR or result == Degree.OTHER:
        return result
    return Degree.CONSTANT if result == Degree.LINEAR else Degree.ZERO


def _sum_of_products(left: Sequence[Degree], right: Sequence[Degree]) -> Degree:
    degree = Degree.ZERO
    for a, b in zip(left, right, strict=True):
        degree |= _product(a, b)
    return degree


def _product(a: Degree, b: Degree) -> Degree:
    if Degree.ZERO in (a, b):
        return Degree.ZERO
    if Degree.OTHER in (a, b) or a & b & Degree.LINEAR:
        return Degree.OTHER
    return Degree.LINEAR if (a | b) & Degree.LINEAR else Degree.CONSTANT


def _is_linear(op: Operation, linear: set[int], degrees: Sequence[Degree]) -> bool:
    """Whether an operation is linear in the operands `linear` together.

    Its derivative in those mentions none of them, and what it gives for the others vanishes with
    them: the others are zero, or their derivative mentions some of `linear`.
    """
    for position, value in enumerate(op.operands):
        if not dtype_of(value.type).is_float:
            continue
        mentions = _mentioned(op, position)
        if position in linear:
            if mentions is None or mentions & linear:
                return False
        elif degrees[position] != Degree.ZERO and mentions is not None and not mentions & linear:
            return False
    return all(dtype_of(op.operands[i].type).is_float for i in linear)


def _mentioned(op: Operation, position: int) -> set[int] | None:
    """The operands that the tangent along one operand reads; None when there is no tangent.

    To read the result is to read all.
    """
    block = Block([*op.operand_types, op.operands[position].type])
    *operands, vector = block.args
    builder = Builder(block)
    copy = builder.insert(op.clone(dict(zip(op.operands, operands, strict=True))))
    tangents = [vector if i == position else None for i in range(len(operands))]
    try:
        found = [value for value in copy.tangent(builder, tangents) if value is not None]
    except RuleMissing:
        return None
    if not found:
        return None
    pending, seen = list(found), set(found)
    while pending:
        made_by = pending.pop().defining_op
        new = [v for v in made_by.operands if v not in seen] if made_by is not None else []
        pending += new
        seen.update(new)
    return {i for i, value in enumerate(operands) if value in seen}
