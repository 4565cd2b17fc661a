"""Dead code elimination, through the results and carried values of control flow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dmc.dialects import control, func
from dmc.ir import (
    ArrayAttr,
    Attribute,
    Block,
    Builder,
    Module,
    Operation,
    SymbolRef,
    Trait,
    Value,
)
from dmc.ir.passes import Pass
from dmc.transforms.common import take_regions


@dataclass(frozen=True)
class Dce(Pass):
    """Remove what no result of a public function needs.

    That is unused operations, results of control flow, loop-carried values that only feed
    themselves, and private functions that nothing refers to.
    """

    name = "dce"

    def run(self, module: Module) -> None:
        _remove_functions(module)
        for function in func.functions(module):
            live = _Liveness(function)
            _sweep(function.body, live)


def _remove_functions(module: Module) -> None:
    """Erase private functions that no public one reaches."""
    known = {function.sym_name: function for function in func.functions(module)}
    pending = [function for function in known.values() if not function.is_private]
    reached = set(pending)
    while pending:
        for name in _references(pending.pop()):
            target = known.get(name)
            if target is not None and target not in reached:
                reached.add(target)
                pending.append(target)
    for function in known.values():
        if function not in reached:
            function.erase()


def _references(root: Operation) -> Iterator[str]:
    def names(attribute: Attribute) -> Iterator[str]:
        match attribute:
            case SymbolRef(name):
                yield name
            case ArrayAttr(items):
                for item in items:
                    yield from names(item)
            case _:
                pass

    for op in root.walk():
        for attribute in op.attributes.values():
            yield from names(attribute)


class _Liveness:
    """Marks the values that a function's results and effects need."""

    def __init__(self, function: func.Func) -> None:
        self.values: set[Value] = set()
        self.kept: set[Operation] = set()
        """Operations with an effect, and those around them: they stay whatever is used."""
        self._pending: list[Value] = list(function.body.terminator.operands)
        for op in function.walk():
            if op.has(Trait.EFFECT):
                self._pending.extend(op.operands)
                self._keep(op, function)
        while self._pending:
            value = self._pending.pop()
            if value not in self.values:
                self.values.add(value)
                self._pending.extend(_sources(value))

    def _keep(self, op: Operation | None, function: func.Func) -> None:
        while op is not None and op is not function and op not in self.kept:
            self.kept.add(op)
            self._pending.extend(_drivers(op))
            op = op.parent_op

    def is_needed(self, op: Operation) -> bool:
        return op in self.kept or not self.values.isdisjoint(op.results)


def _sources(value: Value) -> list[Value]:
    """The values that `value` is made from."""
    owner, index = value.owner, value.index
    if isinstance(owner, Block):
        return _sources_of_argument(owner, index)
    drivers = _drivers(owner)
    match owner:
        case control.If():
            ends = (owner.on_true.terminator, owner.on_false.terminator)
            return [*drivers, *(end.operands[index] for end in ends)]
        case control.For() if index < owner.carried:
            return [*drivers, owner.inits[index], owner.next_values[index]]
        case control.For() | control.Map():
            return [*drivers, owner.body.terminator.operands[index]]
        case control.While():
            return [*drivers, owner.inits[index], owner.body.terminator.operands[index]]
        case _:
            captured = [v for inner in owner.regions for v in inner.captures()]
            return [*owner.operands, *captured]


def _sources_of_argument(block: Block, index: int) -> list[Value]:
    match block.parent_op:
        case control.For() as loop if index > loop.carried:
            return [loop.scanned[index - loop.carried - 1]]
        case control.For() as loop if index > 0:
            return [loop.inits[index - 1], loop.next_values[index - 1]]
        case control.While() as loop:
            return [loop.inits[index], loop.body.terminator.operands[index]]
        case _:
            return []


def _drivers(op: Operation) -> list[Value]:
    """The values that decide whether and how often the regions of `op` run."""
    match op:
        case control.If():
            return [op.condition]
        case control.For():
            return [op.count]
        case control.While():
            return list(op.condition.terminator.operands)
        case _:
            return []


def _sweep(block: Block, live: _Liveness) -> None:
    for op in reversed(block):
        if op.has(Trait.TERMINATOR):
            continue
        if not live.is_needed(op):
            op.erase()
            continue
        match op:
            case control.For():
                _shrink_for(op, live)
            case control.While():
                _shrink_while(op, live)
            case control.If() | control.Map():
                kept = [i for i, value in enumerate(op.results) if value in live.values]
                for inner in op.regions:
                    _keep_yields(inner.block, kept)
                    _sweep(inner.block, live)
                _rebuild(op, op.operands, kept, {})
            case _:
                pass


def _shrink_for(op: control.For, live: _Liveness) -> None:
    carried, count = op.carried, len(op.results)
    pairs = zip(op.finals, op.carried_args, strict=True)
    kept = [i for i, pair in enumerate(pairs) if not live.values.isdisjoint(pair)]
    stacks = [i for i in range(carried, count) if op.results[i] in live.values]
    scanned = [i for i, arg in enumerate(op.scanned_args) if arg in live.values]
    operands = [op.count, *(op.inits[i] for i in kept), *(op.scanned[i] for i in scanned)]
    _keep_yields(op.body, [*kept, *stacks])
    _sweep(op.body, live)
    args = [0, *(1 + i for i in kept), *(1 + carried + i for i in scanned)]
    _keep_args(op.body, args)
    _rebuild(op, operands, [*kept, *stacks], {"carried": len(kept)})


def _shrink_while(op: control.While, live: _Liveness) -> None:
    groups = zip(op.results, op.condition.args, op.body.args, strict=True)
    kept = [i for i, group in enumerate(groups) if not live.values.isdisjoint(group)]
    operands = [op.inits[i] for i in kept]
    _keep_yields(op.body, kept)
    for block in (op.condition, op.body):
        _sweep(block, live)
        _keep_args(block, kept)
    _rebuild(op, operands, kept, {})


def _keep_yields(block: Block, kept: Sequence[int]) -> None:
    terminator = block.terminator
    terminator.set_operands([terminator.operands[i] for i in kept])


def _keep_args(block: Block, kept: Sequence[int]) -> None:
    for index in reversed(range(len(block.args))):
        if index not in kept:
            block.erase_arg(index)


def _rebuild(
    op: Operation, operands: Sequence[Value], kept: Sequence[int], changed: dict[str, Attribute]
) -> None:
    """Replace `op` by one with fewer operands and only the results `kept`."""
    if len(operands) == len(op.operands) and len(kept) == len(op.results):
        return
    types = [op.results[i].type for i in kept]
    names = [op.results[i].name for i in kept]
    attributes = {**op.attributes, **changed}
    new = type(op)(operands, attributes, op.regions, types, op.location, names)
    take_regions(op)
    Builder.ahead_of(op).insert(new)
    for old, value in zip(kept, new.results, strict=True):
        op.results[old].replace_all_uses_with(value)
    op.erase()
