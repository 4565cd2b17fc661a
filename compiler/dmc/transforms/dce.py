"""Dead code elimination, through the results and carried values of control flow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dmc.dialects import func
from dmc.dialects.flow import ControlFlow, Flow, flows_in
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
    if not any(function.is_private for function in known.values()):
        return
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
        self._made_from = _made_from(function)
        self._pending: list[Value] = list(function.body.terminator.operands)
        for op in function.walk():
            if op.has(Trait.EFFECT):
                self._pending.extend(op.operands)
                self._keep(op, function)
        while self._pending:
            value = self._pending.pop()
            if value not in self.values:
                self.values.add(value)
                self._pending.extend(self._sources(value))

    def _keep(self, op: Operation | None, function: func.Func) -> None:
        while op is not None and op is not function and op not in self.kept:
            self.kept.add(op)
            self._pending.extend(op.drivers() if isinstance(op, ControlFlow) else ())
            op = op.parent_op

    def _sources(self, value: Value) -> Sequence[Value]:
        """The values that `value` is made from."""
        known = self._made_from.get(value)
        owner = value.owner
        if known is not None or isinstance(owner, Block):
            return known or ()
        captured = [v for inner in owner.regions for v in inner.captures()]
        return [*owner.operands, *captured]

    def is_needed(self, op: Operation) -> bool:
        return op in self.kept or not self.values.isdisjoint(op.results)


def _made_from(function: func.Func) -> dict[Value, list[Value]]:
    """What the arguments and results of control flow are made from."""
    made: dict[Value, list[Value]] = {}
    for flow in flows_in(function):
        made.update((argument, flow.sources) for argument in flow.arguments)
        if flow.leaving is not None:
            made[flow.leaving] = [*flow.op.drivers(), *flow.origins]
    return made


def _sweep(block: Block, live: _Liveness) -> None:
    for op in reversed(block):
        if op.has(Trait.TERMINATOR):
            continue
        if not live.is_needed(op):
            op.erase()
            continue
        if isinstance(op, ControlFlow):
            _shrink(op, live)


def _shrink(op: ControlFlow, live: _Liveness) -> None:
    """Leave out the flows of which nothing is needed, inside or behind."""
    kept: list[Flow] = []
    gone: list[Flow] = []
    for flow in op.flows():
        (gone if live.values.isdisjoint(_seen(flow)) else kept).append(flow)
    attributes = op.attributes_of(kept)
    entering = {flow.operand for flow in gone}
    arguments = {flow.argument for flow in gone}
    results = [flow.result for flow in kept if flow.result is not None]
    for block in op.yielding:
        _keep_yields(block, results)
    for inner in op.regions:
        _sweep(inner.block, live)
    for block in op.taking:
        _keep_args(block, [i for i in range(len(block.args)) if i not in arguments])
    operands = [value for i, value in enumerate(op.operands) if i not in entering]
    _rebuild(op, operands, results, attributes)


def _seen(flow: Flow) -> list[Value]:
    leaving = flow.leaving
    return flow.arguments if leaving is None else [leaving, *flow.arguments]


def _keep_yields(block: Block, kept: Sequence[int]) -> None:
    terminator = block.terminator
    terminator.set_operands([terminator.operands[i] for i in kept])


def _keep_args(block: Block, kept: Sequence[int]) -> None:
    for index in reversed(range(len(block.args))):
        if index not in kept:
            block.erase_arg(index)


def _rebuild(
    op: Operation, operands: Sequence[Value], kept: Sequence[int], attributes: dict[str, Attribute]
) -> None:
    """Replace `op` by one with fewer operands and only the results `kept`."""
    if len(operands) == len(op.operands) and len(kept) == len(op.results):
        return
    types = [op.results[i].type for i in kept]
    names = [op.results[i].name for i in kept]
    new = type(op)(operands, attributes, op.regions, types, op.location, names)
    take_regions(op)
    Builder.ahead_of(op).insert(new)
    for old, value in zip(kept, new.results, strict=True):
        op.results[old].replace_all_uses_with(value)
    op.erase()
