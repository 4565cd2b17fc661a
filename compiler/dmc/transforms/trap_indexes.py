"""Indexes that are computed at run time and may be outside are looked at where they are used.

Every function that has one returns one more value, its fault: 0, or which use was outside and what
the index was. Faults are values like others: they leave loops and branches as these yield, so a
branch that is not taken reports nothing, and batching, fusion and differentiation need not know of
them. The access itself clamps its index, as StableHLO's does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

from dmc.dialects import arith, autodiff, control, func, tensor
from dmc.dialects.arith import Direction
from dmc.dialects.elementwise import splat_of
from dmc.dialects.tensor import Kind
from dmc.dialects.value_ranges import Facts, Ranges
from dmc.ir import (
    Block,
    Builder,
    DType,
    Location,
    Module,
    Operation,
    SymbolRef,
    TensorType,
    Value,
    shape_of,
)
from dmc.ir.passes import Pass
from dmc.transforms.common import inline_block
from dmc.transforms.index_uses import indexes_of

_FAULT = TensorType((), DType.I64)
_INDEX_BITS = 44
_FARTHEST = 2 ** (_INDEX_BITS - 2)
"""Indexes farther out are reported as this."""


@dataclass(frozen=True)
class IndexUse:
    """An index that may be outside `0 .. size - 1`, and what uses it."""

    op: Operation
    index: Value
    size: int

    @property
    def location(self) -> Location:
        return self.op.location


@dataclass(frozen=True)
class Fault:
    """The index that was outside, of the use at position `use`."""

    use: int
    index: int

    @staticmethod
    def read(code: int) -> Fault:
        """From the value that a function returned, which is not 0."""
        use, index = divmod(code, 2**_INDEX_BITS)
        return Fault(use - 1, index - 2 * _FARTHEST)


# ---- uses ---------------------------------------------------------------------------------------


def unproved_indexes(module: Module) -> list[IndexUse]:
    """The uses in `module` of which it is not known that they are inside, in order.

    Those in derivative rules are left out: what a rule returns is fixed.
    """
    rules = _rules(module)
    found: list[IndexUse] = []
    for function in func.functions(module):
        if function.sym_name not in rules:
            _search(function.body, Ranges(), (), found)
    return found


def _rules(module: Module) -> set[str]:
    functions = func.functions(module)
    return {rule.name for f in functions for rule in (f.jvp_rule, f.vjp_rule) if rule is not None}


def _search(block: Block, ranges: Ranges, facts: Facts, found: list[IndexUse]) -> None:
    for op in block:
        for index, size in indexes_of(op):
            if 0 not in shape_of(index.type) and not ranges.is_within(index, size, facts):
                found.append(IndexUse(op, index, size))
        for inner, learnt in _inside(op, ranges):
            _search(inner, ranges, (*facts, *learnt), found)


def _inside(op: Operation, ranges: Ranges) -> Sequence[tuple[Block, Facts]]:
    """The blocks of an operation, each with what holds in it."""
    match op:
        case control.If():
            known = splat_of(op.condition)
            return [
                (block, tuple(ranges.facts(op.condition, holds)))
                for block, holds in zip(op.yielding, (True, False), strict=True)
                if known is None or bool(known) is holds
            ]
        case control.For() if op.trip_count == 0:
            return []
        case control.While():
            (condition,) = op.condition.terminator.operands
            renamed = dict(zip(op.condition.args, op.body.args, strict=True))
            facts = ranges.facts(condition, True)
            entered = [f.renamed(renamed) for f in facts if f.terms.keys() <= renamed.keys()]
            return [(op.condition, ()), (op.body, entered)]
        case _:
            return [(region.block, ()) for region in op.regions]


# ---- faults -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrapIndexes(Pass):
    """Return the fault of indexes that may be outside, from every function that has such."""

    name = "trap-indexes"

    def run(self, module: Module) -> None:
        uses: dict[Operation, list[tuple[int, IndexUse]]] = {}
        for position, use in enumerate(unproved_indexes(module)):
            uses.setdefault(use.op, []).append((position, use))
        if uses:
            _Threading(module, uses).run()


class _Threading:
    """Makes the faults of uses and passes them outwards."""

    def __init__(self, module: Module, uses: dict[Operation, list[tuple[int, IndexUse]]]) -> None:
        """`uses` have the positions by which their faults tell them."""
        self._module = module
        self._uses = uses
        self._faulty: set[SymbolRef] = set()

    def run(self) -> None:
        named = {function.sym_name: function for function in func.functions(self._module)}
        rules = _rules(self._module)
        callees = {name: _callees(function) for name, function in named.items()}
        for name in TopologicalSorter(callees).static_order():
            function = named[name]
            fault = self._block(function.body) if name not in rules else None
            if fault is None:
                continue
            self._faulty.add(SymbolRef(name))
            for rule in (function.jvp_rule, function.vjp_rule):
                if rule is not None:
                    _take_fault(function, named[rule.name])
            terminator = function.body.terminator
            terminator.insert_operand(len(terminator.operands), fault)
            function.update_type()

    def _block(self, block: Block) -> Value | None:
        """The fault of all that a block does; None when it has none."""
        faults = self._faults(list(block))
        return _worst(Builder.ahead_of(block.terminator), faults) if faults else None

    def _faults(self, ops: Sequence[Operation]) -> list[Value]:
        faults: list[Value] = []
        for op in ops:
            faults += [_fault(use, position) for position, use in self._uses.get(op, ())]
            faults += self._nested(op)
        return faults

    def _nested(self, op: Operation) -> Sequence[Value]:
        match op:
            case control.If():
                return self._if(op)
            case control.For():
                return self._for(op)
            case control.While():
                return self._while(op)
            case control.Map():
                return self._map(op)
            case func.Call() | autodiff.Jvp() | autodiff.Vjp() if op.callee in self._faulty:
                # The results of the callee come first, and its fault is the last of them.
                callee = func.lookup(self._module, op.callee)
                return [op.insert_result(len(callee.function_type.results) - 1, _FAULT)]
            case _:
                return ()

    def _if(self, op: control.If) -> Sequence[Value]:
        faults = [self._block(block) for block in op.yielding]
        if all(fault is None for fault in faults):
            return ()
        ends = [Builder.ahead_of(block.terminator) for block in op.yielding]
        return [op.join([fault or _none(end) for end, fault in zip(ends, faults, strict=True)])]

    def _for(self, op: control.For) -> Sequence[Value]:
        fault = self._block(op.body)
        if fault is None:
            return ()
        before, after = op.add_carried(_none(Builder.ahead_of(op)))
        op.set_next(before, _worst(Builder.ahead_of(op.body.terminator), [before, fault]))
        return [after]

    def _map(self, op: control.Map) -> Sequence[Value]:
        fault = self._block(op.body)
        if fault is None or 0 in op.sizes:
            return ()
        terminator = op.body.terminator
        terminator.insert_operand(len(terminator.operands), fault)
        faults = op.insert_result(len(op.results), TensorType(op.sizes, DType.I64))
        return [_worst_element(_behind(op), faults)]

    def _while(self, op: control.While) -> Sequence[Value]:
        """The loop carries its fault and ends with the first, lest it run on for ever."""
        entering = self._rotate(op) if self._is_faulty(op.condition) else []
        fault = self._block(op.body)
        if fault is None:
            return entering
        test, step = (Builder.ahead_of(b.terminator) for b in (op.condition, op.body))
        known, before, after = _carry(op, _none(Builder.ahead_of(op)))
        op.body.terminator.set_operand(len(op.inits) - 1, _worst(step, [before, fault]))
        (holds,) = op.condition.terminator.operands
        unharmed = arith.compare(test, Direction.EQ, known, _none(test))
        op.condition.terminator.set_operand(0, arith.logical_and(test, holds, unharmed))
        return [*entering, after]

    def _is_faulty(self, block: Block) -> bool:
        inside = [inner for op in block for inner in op.walk()]
        return any(op in self._uses or op.attributes.get("callee") in self._faulty for op in inside)

    def _rotate(self, op: control.While) -> list[Value]:
        """Ask for the condition ahead of the loop and behind each step, and carry the answer.

        A condition yields nothing else, so its faults are those of where it is asked for. Returns
        those of the first time.
        """
        entering, holds = self._ask(op, op.inits, Builder.ahead_of(op))
        body = op.body.terminator
        _, again = self._ask(op, body.operands, Builder.ahead_of(body))
        known, _, _ = _carry(op, holds)
        body.set_operand(len(op.inits) - 1, again)
        op.condition.terminator.set_operand(0, known)
        for asked in reversed(list(op.condition)[:-1]):
            asked.erase()
        return self._faults(entering)

    def _ask(
        self, op: control.While, values: Sequence[Value], builder: Builder
    ) -> tuple[list[Operation], Value]:
        """The condition of `values`: the operations that compute it, and what it is."""
        mapping: dict[Value, Value] = {}
        block = op.regions[0].clone(mapping).block
        mapping.update(zip(op.condition.args, values, strict=True))
        originals = [inner for outer in op.condition for inner in outer.walk()]
        copies = [inner for outer in block for inner in outer.walk()]
        for original, copied in zip(originals, copies, strict=True):
            if original in self._uses:
                self._uses[copied] = [
                    (position, IndexUse(copied, mapping.get(use.index, use.index), use.size))
                    for position, use in self._uses[original]
                ]
        asked = list(block)[:-1]
        (holds,) = inline_block(block, values, builder)
        return asked, holds


def _callees(function: func.Func) -> set[str]:
    """Every function that one refers to: calls, derivatives and rules."""
    values = [value for op in function.walk() for value in op.attributes.values()]
    return {value.name for value in values if isinstance(value, SymbolRef)}


def _take_fault(function: func.Func, rule: func.Func) -> None:
    """A rule is given the results of its function, so the fault, too."""
    at = len(function.function_type.inputs) + len(function.function_type.results)
    fault = rule.body.add_arg(_FAULT, "fault")
    rule.body.arrange_args([*rule.body.args[:at], fault, *rule.body.args[at:-1]])
    rule.update_type()


def _carry(op: control.While, init: Value) -> tuple[Value, Value, Value]:
    """One more value: as the condition and the body know it, and as the loop leaves it.

    The body passes it on as it is.
    """
    known, before = (block.add_arg(init.type) for block in (op.condition, op.body))
    at = len(op.inits)
    op.body.terminator.insert_operand(at, before)
    op.insert_operand(at, init)
    return known, before, op.insert_result(at, init.type)


def _fault(use: IndexUse, position: int) -> Value:
    """0, or what tells the use and its index from others; of several indexes one of the last."""
    builder = Builder.ahead_of(use.op)
    index = arith.convert(builder, use.index, DType.I64)
    type_ = index.type

    def number(value: int) -> Value:
        return arith.constant(builder, value, type_)

    low = arith.compare(builder, Direction.LT, index, number(0))
    high = arith.compare(builder, Direction.GE, index, number(use.size))
    near = arith.minimum(builder, index, number(_FARTHEST))
    near = arith.maximum(builder, near, number(-_FARTHEST))
    code = arith.add(builder, near, number((position + 1) * 2**_INDEX_BITS + 2 * _FARTHEST))
    outside = arith.logical_or(builder, low, high)
    return _worst_element(builder, arith.select(builder, outside, code, number(0)))


def _worst(builder: Builder, faults: Sequence[Value]) -> Value:
    total, *others = faults
    for fault in others:
        total = arith.maximum(builder, total, fault)
    return total


def _worst_element(builder: Builder, faults: Value) -> Value:
    return tensor.reduce(builder, faults, Kind.MAX, range(len(shape_of(faults.type))))


def _none(builder: Builder) -> Value:
    return arith.zeros(builder, _FAULT)


def _behind(op: Operation) -> Builder:
    assert op.parent is not None
    return Builder(op.parent, op.next, op.location)
