"""What whole numbers of a program can be: the ranges of values, and what conditions say of them.

A range holds all elements of a tensor. Sums are compared as linear functions of the values that
they are made of, so that `i + 1 < n` is known of `i + 1` and of `i`. Additions that run over the
range of their type are not thought of. After MLIR's integer range analysis.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dmc.dialects import arith, control, tensor
from dmc.dialects.arith import Direction
from dmc.dialects.elementwise import constant_array, splat_of
from dmc.dialects.flow import ControlFlow
from dmc.ir import DType, TapeType, TensorType, Value, dtype_of, shape_of


@dataclass(frozen=True, slots=True)
class Range:
    """From `low` to `high`, both included; either may be infinite."""

    low: float
    high: float

    def union(self, other: Range) -> Range:
        return Range(min(self.low, other.low), max(self.high, other.high))


ANY = Range(-math.inf, math.inf)


@dataclass(frozen=True)
class Linear:
    """A sum of values with coefficients, none of them zero, and a number."""

    terms: dict[Value, int]
    number: int

    def plus(self, other: Linear, factor: int = 1) -> Linear:
        terms = dict(self.terms)
        for value, coefficient in other.terms.items():
            terms[value] = terms.get(value, 0) + factor * coefficient
        kept = {value: coefficient for value, coefficient in terms.items() if coefficient}
        return Linear(kept, self.number + factor * other.number)

    def scaled(self, factor: int) -> Linear:
        return Linear({}, 0).plus(self, factor)

    def renamed(self, names: Mapping[Value, Value]) -> Linear:
        """The same function of other values."""
        return Linear({names[v]: coefficient for v, coefficient in self.terms.items()}, self.number)


Facts = Sequence[Linear]
"""Linear functions that are not negative."""

_MOVES = (
    tensor.BroadcastInDim, tensor.Reshape, tensor.Transpose, tensor.Slice, tensor.Reverse,
    tensor.Extract, tensor.DynamicSlice, tensor.Gather, tensor.Sort,
)  # fmt: skip
"""Operations whose elements are elements of their first operand."""


_LINEAR = (
    arith.Add | arith.Subtract | arith.Negate | arith.Multiply | arith.Convert | tensor.Reshape
)


def _read_by(value: Value) -> tuple[Value, ...]:
    """What the linear form of a value is made from."""
    op = value.defining_op
    return op.operands if isinstance(op, _LINEAR) else ()


class IntegerRanges:
    """Ranges of the values of one function, found when they are asked for."""

    def __init__(self) -> None:
        self._linear: dict[Value, Linear] = {}
        self._ranges: dict[Value, Range] = {}

    def is_within(self, value: Value, size: int, facts: Facts) -> bool:
        """Whether all elements are known to be from 0 up to `size`, `size` not included."""
        found = self.range(value, facts)
        return found.low >= 0 and found.high < size

    def range(self, value: Value, facts: Facts = ()) -> Range:
        linear = self.linear(value)
        return Range(self._least(linear, facts), -self._least(linear.scaled(-1), facts))

    def linear(self, value: Value) -> Linear:
        pending = [value]
        while pending:
            missing = [v for v in _read_by(pending[-1]) if v not in self._linear]
            if pending[-1] in self._linear:
                pending.pop()
            elif missing:
                pending += missing
            else:
                made = pending.pop()
                self._linear[made] = self._read(made)
        return self._linear[value]

    def facts(self, condition: Value, holds: bool) -> Iterator[Linear]:
        """What is not negative where a 0-d condition does or does not hold."""
        match condition.defining_op:
            case arith.Compare() as op if dtype_of(op.lhs.type).is_integer:
                ahead = self.linear(op.lhs).plus(self.linear(op.rhs), -1)
                yield from _signs(op.direction, ahead, holds)
            case arith.And() as op if holds:
                yield from (*self.facts(op.lhs, True), *self.facts(op.rhs, True))
            case arith.Or() as op if not holds:
                yield from (*self.facts(op.lhs, False), *self.facts(op.rhs, False))
            case arith.Not() as op:
                yield from self.facts(op.operand, not holds)
            case _:
                pass

    def _least(self, linear: Linear, facts: Facts) -> float:
        """A lower bound: by the ranges of the terms, or above what a fact says is not negative."""
        rests = (linear.plus(fact, -1) for fact in facts)
        return max(map(self._lowest, (linear, *rests)))

    def _lowest(self, linear: Linear) -> float:
        total: float = linear.number
        for value, coefficient in linear.terms.items():
            atom = self._atom(value)
            total += coefficient * (atom.low if coefficient > 0 else atom.high)
        return total

    def _read(self, value: Value) -> Linear:
        alone = Linear({value: 1}, 0)
        splat = splat_of(value) if dtype_of(value.type).is_integer else None
        if splat is not None:
            return Linear({}, int(splat))
        op = value.defining_op
        match op:
            case arith.Add():
                return self.linear(op.lhs).plus(self.linear(op.rhs))
            case arith.Subtract():
                return self.linear(op.lhs).plus(self.linear(op.rhs), -1)
            case arith.Negate():
                return self.linear(op.operand).scaled(-1)
            case arith.Multiply():
                a, b = self.linear(op.lhs), self.linear(op.rhs)
                if a.terms and b.terms:
                    return alone
                return a.scaled(b.number) if a.terms else b.scaled(a.number)
            case arith.Convert() if _holds_all(op):
                return self.linear(op.operand)
            case tensor.Reshape() if shape_of(op.operand.type) == ():
                return self.linear(op.operand)
            case _:
                return alone

    def _atom(self, value: Value) -> Range:
        pending, entered = [value], set[Value]()
        while pending:
            found = pending[-1]
            if found in self._ranges:
                pending.pop()
            elif found not in entered:
                entered.add(found)
                pending += self._terms_below(found)
            else:
                # What a loop carries is asked for while it is found.
                self._ranges[found] = ANY
                self._ranges[found] = self._find(found)
        return self._ranges[value]

    def _terms_below(self, value: Value) -> list[Value]:
        """What a value that is not known yet is computed from in its block, first of all."""
        op = value.defining_op
        if op is None or op.regions or not dtype_of(value.type).is_integer:
            return []
        integers = [v for v in op.operands if dtype_of(v.type).is_integer]
        terms = (term for v in integers for term in self.linear(v).terms)
        return [term for term in terms if term not in self._ranges]

    def _find(self, value: Value) -> Range:
        type_ = value.type
        if isinstance(type_, TapeType):
            return self._stacked(value)
        if not isinstance(type_, TensorType) or type_.dtype.is_float or 0 in type_.shape:
            return ANY
        op = value.defining_op
        if op is None:
            return self._argument(value)
        array = constant_array(value)
        if array is not None:
            return Range(int(array.min()), int(array.max()))
        match op:
            case tensor.Iota():
                return Range(0, type_.shape[op.iota_dimension] - 1)
            case arith.Maximum():
                a, b = self.range(op.lhs), self.range(op.rhs)
                return Range(max(a.low, b.low), max(a.high, b.high))
            case arith.Minimum():
                a, b = self.range(op.lhs), self.range(op.rhs)
                return Range(min(a.low, b.low), min(a.high, b.high))
            case arith.Multiply():
                return _product(self.range(op.lhs), self.range(op.rhs))
            case arith.Remainder():
                by = self.range(op.rhs)
                return Range(0, by.high - 1) if by.low > 0 else ANY
            case arith.FloorDivide():
                return _divided(self.range(op.lhs), splat_of(op.rhs))
            case arith.Select():
                return self.range(op.on_true).union(self.range(op.on_false))
            case arith.Convert() if dtype_of(op.operand.type) is DType.BOOL:
                return Range(0, 1)
            case arith.Convert() if dtype_of(op.operand.type).is_integer:
                of, beyond = self.range(op.operand), 2 ** (8 * type_.dtype.numpy.itemsize - 1)
                return of if -beyond <= of.low and of.high < beyond else ANY
            case tensor.ArgReduce():
                return Range(0, shape_of(op.operand.type)[op.dimension] - 1)
            case tensor.ArgSort():
                return Range(0, type_.shape[-1] - 1)
            case tensor.TopK() if value is op.results[1]:
                return Range(0, shape_of(op.operands[0].type)[-1] - 1)
            case tensor.Concatenate():
                first, *others = map(self.range, op.operands)
                for other in others:
                    first = first.union(other)
                return first
            case control.If():
                return self._branches(op, value)
            case control.For() if value in op.finals:
                place = op.finals.index(value)
                return self.range(op.inits[place]).union(self.range(op.next_values[place]))
            case _ if isinstance(op, _MOVES):
                return self.range(op.operands[0])
            case _:
                return ANY

    def _stacked(self, tape: Value) -> Range:
        """All that a loop has put on a tape."""
        op = tape.defining_op
        if not isinstance(op, control.Loop) or dtype_of(tape.type).is_float:
            return ANY
        return self.range(op.stacked_values[op.stacks.index(tape)])

    def _branches(self, op: control.If, value: Value) -> Range:
        place = op.results.index(value)
        yes, no = (
            self.range(block.terminator.operands[place], tuple(self.facts(op.condition, holds)))
            for block, holds in zip(op.yielding, (True, False), strict=True)
        )
        return yes.union(no)

    def _argument(self, value: Value) -> Range:
        """An index, what a loop carries or scans; anything of an argument of a function."""
        block = value.parent_block
        op = block.parent_op if block is not None else None
        match op:
            case ControlFlow() if value in op.indexes():
                limit = op.indexes()[value]
                return Range(0, math.inf if limit is None else max(limit - 1, 0))
            case control.For() if value in op.carried_args:
                place = op.carried_args.index(value)
                return self._carried(value, op.inits[place], op.next_values[place])
            case control.For() if value in op.scanned_args:
                return self.range(op.scanned[op.scanned_args.index(value)])
            case control.While() if block is op.body or block is op.condition:
                place = value.index
                arg, following = op.body.args[place], op.body.terminator.operands[place]
                return self._carried(arg, op.inits[place], following)
            case _:
                return ANY

    def _carried(self, arg: Value, init: Value, following: Value) -> Range:
        """By induction: from its first value in one direction, or what every step gives."""
        first, step = self.range(init), self.linear(following).plus(self.linear(arg), -1)
        if not step.terms:
            low = first.low if step.number >= 0 else -math.inf
            return Range(low, first.high if step.number <= 0 else math.inf)
        # What is being found counts as known, so that values which follow from each other end.
        upwards = IntegerRanges()
        upwards._ranges = {**self._ranges, arg: Range(first.low, math.inf)}
        after = upwards.range(following)
        return first.union(after if after.low >= first.low else self.range(following))


Bounds = tuple[int, int]
"""The least and the greatest value, both included."""


def bounds_of(value: Value) -> Bounds | None:
    """The values that an integer can take; None where one end is not known."""
    found = IntegerRanges().range(value)
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return None
    return int(found.low), int(found.high)


def _signs(direction: Direction, ahead: Linear, holds: bool) -> Iterator[Linear]:
    """What is not negative when `ahead` compares so, or does not, with zero."""
    less, more = ahead.scaled(-1), ahead
    one = Linear({}, 1)
    match direction, holds:
        case (Direction.LT, True) | (Direction.GE, False):
            yield less.plus(one, -1)
        case (Direction.LE, True) | (Direction.GT, False):
            yield less
        case (Direction.GT, True) | (Direction.LE, False):
            yield more.plus(one, -1)
        case (Direction.GE, True) | (Direction.LT, False):
            yield more
        case (Direction.EQ, True) | (Direction.NE, False):
            yield from (less, more)
        case _:
            pass


def _holds_all(op: arith.Convert) -> bool:
    """Whether the result is the same whole number, whatever the operand is."""
    of, to = dtype_of(op.operand.type), dtype_of(op.result.type)
    return of.is_integer and to.is_integer and of.numpy.itemsize <= to.numpy.itemsize


def _product(a: Range, b: Range) -> Range:
    ends = (a.low, a.high, b.low, b.high)
    if not all(map(math.isfinite, ends)):
        return ANY
    corners = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
    return Range(min(corners), max(corners))


def _divided(of: Range, by: object) -> Range:
    if not isinstance(by, int) or by <= 0:
        return ANY
    return Range(*(n // by if math.isfinite(n) else n for n in (of.low, of.high)))
