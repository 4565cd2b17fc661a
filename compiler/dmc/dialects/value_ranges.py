"""What the numbers of a program can be: the ranges of values, and what conditions say of them.

A range holds all elements of a tensor. Sums of integers are compared as linear functions of the
values that they are made of, so that `i + 1 < n` is known of `i + 1` and of `i`. Additions that run
over the range of their type are not thought of. After MLIR's integer range analysis.

Nothing of integers follows from the ranges of floats, which leave out single points, NaN and
rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from dmc.dialects import arith, autodiff, control, tensor
from dmc.dialects.arith import Direction
from dmc.dialects.elementwise import Elementwise, elements_of, splat_of
from dmc.dialects.flow import ControlFlow, flow_of
from dmc.dialects.ranges import ANY, Range, absolute, multiply
from dmc.dialects.tensor.reduction import Kind
from dmc.ir import TapeType, TensorType, Value, dtype_of, shape_of


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


SUPPOSED = 2
"""How many values of one loop may be supposed at once, where each needs the others' ranges."""
Facts = Sequence[Linear]
"""Linear functions that are not negative."""

_MOVES = (
    tensor.BroadcastInDim, tensor.Reshape, tensor.Transpose, tensor.Slice, tensor.Reverse,
    tensor.Extract, tensor.DynamicSlice, tensor.Gather, tensor.Sort, autodiff.StopGradient,
    autodiff.Direction,
)  # fmt: skip
"""Operations whose elements are elements of their first operand."""


_LINEAR = (
    arith.Add | arith.Subtract | arith.Negate | arith.Multiply | arith.Convert | tensor.Reshape
)


def _read_by(value: Value) -> tuple[Value, ...]:
    """What the linear form of a value is made from."""
    op = value.defining_op
    return op.operands if isinstance(op, _LINEAR) else ()


class Ranges:
    """Ranges of the values of one function, found when they are asked for."""

    def __init__(self) -> None:
        self._linear: dict[Value, Linear] = {}
        self._ranges: dict[Value, Range] = {}
        self._assuming: dict[Value, frozenset[Value]] = {}
        """What is supposed of carried values where a range was found, by those values."""
        self._supposed: tuple[Value, ...] = ()
        self._read_now: list[set[Value]] = [set()]
        """What has been supposed for what is being found, the innermost last."""

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
            case control.If() as op:
                ends = [block.terminator.operands[condition.index] for block in op.yielding]
                for end, other, taken in zip(ends, ends[::-1], (True, False), strict=True):
                    # The other branch gives the opposite: this one has run.
                    if splat_of(other) is (not holds):
                        yield from (*self.facts(op.condition, taken), *self.facts(end, holds))
            case _:
                pass

    def _least(self, linear: Linear, facts: Facts) -> float:
        """A lower bound: by the ranges of the terms, or above what a fact says is not negative."""
        rests = (linear.plus(fact, -1) for fact in facts)
        ends = (end for form in (linear, *rests) for end in self._at_ends(form))
        return max(map(self._lowest, ends))

    def _at_ends(self, linear: Linear, free: frozenset[Value] = frozenset()) -> Iterator[Linear]:
        """Forms that are nowhere above `linear`: some values of it are at an end that they have.

        So `n - 1 - i` is not negative in a loop over i with n iterations, whatever n is. Values in
        `free` stay.
        """
        for value, coefficient in linear.terms.items():
            ends = () if value in free else self._ends(value, coefficient > 0)
            for end in ends:
                way = end.plus(Linear({value: 1}, 0), -1)
                yield from self._at_ends(linear.plus(way, coefficient), free)
            if ends:
                yield from self._at_ends(linear, free | {value})
                return
        yield linear

    def _ends(self, value: Value, below: bool) -> Sequence[Linear]:
        """Forms that a value is nowhere below, or else nowhere above, because of what it is."""
        match value.defining_op:
            case arith.Maximum() as op if below and dtype_of(value.type).is_integer:
                return [self.linear(operand) for operand in op.operands]
            case arith.Minimum() as op if not below and dtype_of(value.type).is_integer:
                return [self.linear(operand) for operand in op.operands]
            case None if not below and (count := _varying_count(value)) is not None:
                return [self.linear(count).plus(Linear({}, 1), -1)]
            case _:
                return ()

    def _lowest(self, linear: Linear) -> float:
        total: float = linear.number
        for value, coefficient in linear.terms.items():
            atom = self._atom(value)
            total += coefficient * (atom.low if coefficient > 0 else atom.high)
        return total

    def _read(self, value: Value) -> Linear:
        alone = Linear({value: 1}, 0)
        if not dtype_of(value.type).is_integer:
            return alone
        splat = splat_of(value)
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
                self._ranges[found], self._assuming[found] = ANY, frozenset()
                self._read_now.append(set())
                self._ranges[found] = self._find(found)
                self._assuming[found] = frozenset(self._read_now.pop())
        self._read_now[-1] |= self._assuming[value]
        return self._ranges[value]

    def _terms_below(self, value: Value) -> list[Value]:
        """What a value that is not known yet is computed from in its block, first of all."""
        op = value.defining_op
        if op is None or op.regions:
            return []
        whole = dtype_of(value.type).is_integer
        read = [v for v in op.operands if not whole or dtype_of(v.type).is_integer]
        terms = (term for v in read for term in self.linear(v).terms)
        return [term for term in terms if term not in self._ranges]

    def _find(self, value: Value) -> Range:
        type_ = value.type
        if isinstance(type_, TapeType):
            return self._stacked(value)
        if not isinstance(type_, TensorType) or 0 in type_.shape:
            return ANY
        op = value.defining_op
        if op is None:
            return self._argument(value)
        array = elements_of(value)
        if array is not None:
            ends = array.min().item(), array.max().item()
            return ANY if any(map(math.isnan, ends)) else Range(*ends)
        match op:
            case Elementwise():
                return op.range_of([self.range(v) for v in op.operands])
            case tensor.Iota():
                return Range(0, type_.shape[op.iota_dimension] - 1)
            case tensor.ArgReduce():
                return Range(0, shape_of(op.operand.type)[op.dimension] - 1)
            case tensor.ArgSort():
                return Range(0, type_.shape[-1] - 1)
            case tensor.TopK() if value is op.results[1]:
                return Range(0, shape_of(op.operands[0].type)[-1] - 1)
            case tensor.Reduce():
                return self._reduced(op)
            case tensor.DotGeneral() if type_.dtype.is_float:
                return self._contracted(op)
            case tensor.Concatenate() | tensor.FromElements():
                return self._union(op.operands)
            case control.If():
                return self._branches(op, value)
            case control.For() if value in op.finals:
                place = op.finals.index(value)
                return self.range(op.inits[place]).union(self.range(op.next_values[place]))
            case ControlFlow():
                flow = flow_of(value)
                return ANY if flow is None or flow.repeats else self._union(flow.origins)
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

    def _union(self, values: Sequence[Value]) -> Range:
        first, *others = map(self.range, values)
        for other in others:
            first = first.union(other)
        return first

    def _reduced(self, op: tensor.Reduce) -> Range:
        of = self.range(op.operand)
        match op.kind:
            case Kind.MAX | Kind.MIN:
                return of
            case Kind.SUM if dtype_of(op.operand.type).is_float:
                count = prod(shape_of(op.operand.type)[d] for d in op.dimensions)
                return multiply(of, Range(count, count))
            case _:
                return ANY

    def _contracted(self, op: tensor.DotGeneral) -> Range:
        """A sum of products; of squares, where a tensor meets itself and nothing is left over."""
        terms = multiply(self.range(op.lhs), self.range(op.rhs))
        rank, batching = len(shape_of(op.result.type)), len(op.lhs_batching_dimensions)
        squares = op.lhs is op.rhs and rank == batching
        if squares and op.lhs_contracting_dimensions == op.rhs_contracting_dimensions:
            return Range(absolute(self.range(op.lhs)).low ** 2, math.inf)
        return Range(0.0 if terms.low >= 0 else -math.inf, 0.0 if terms.high <= 0 else math.inf)

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
            case ControlFlow():
                flow = flow_of(value)
                if flow is None or flow.entering is None or flow.repeats or not flow.sliced:
                    return ANY
                return self.range(flow.entering)
            case _:
                return ANY

    def _carried(self, arg: Value, init: Value, following: Value) -> Range:
        """By induction: from its first value in one direction, or what every step gives."""
        first, step = self.range(init), self.linear(following).plus(self.linear(arg), -1)
        if not step.terms:
            low = first.low if step.number >= 0 else -math.inf
            return Range(low, first.high if step.number <= 0 else math.inf)
        beside = [v for v in self._supposed if v.parent_block is arg.parent_block]
        if len(beside) < SUPPOSED:
            after = self._supposing(arg, Range(first.low, math.inf), following)
            if after.low >= first.low:
                return first.union(after)
        return first.union(self.range(following))

    def _supposing(self, arg: Value, known: Range, following: Value) -> Range:
        """The range of a value if `arg` has a range.

        What is being found counts as known, so that values which follow from each other end. What
        is found without the supposition is kept: loops that follow each other cost their sum.
        """
        inner = Ranges()
        inner._linear, inner._supposed = self._linear, (*self._supposed, arg)
        inner._ranges = {**self._ranges, arg: known}
        inner._assuming = {**self._assuming, arg: frozenset({arg})}
        after = inner.range(following)
        for value, assuming in inner._assuming.items():
            if arg not in assuming and value not in self._ranges:
                self._ranges[value], self._assuming[value] = inner._ranges[value], assuming
        self._read_now[-1] |= inner._read_now[0] - {arg}
        return after


def _varying_count(index: Value) -> Value | None:
    """How often the loop runs whose index a value is, where that is computed."""
    block = index.parent_block
    op = block.parent_op if block is not None else None
    if isinstance(op, control.For) and index is op.index and op.trip_count < 0:
        return op.count
    return None


Bounds = tuple[int, int]
"""The least and the greatest value, both included."""


def bounds_of(value: Value) -> Bounds | None:
    """The values that an integer can take; None where one end is not known."""
    found = Ranges().range(value)
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
