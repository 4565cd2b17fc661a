"""Forward mode: emits an operation and, right behind it, the tangents of its results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dmc.autodiff.activity import active_values, is_differentiable
from dmc.dialects import control, func
from dmc.ir import Block, Builder, Module, Operation, Trait, Value

TangentRule = Callable[["TangentDriver", Operation], None]
"""Emits a structured operation of the source and records its results and their tangents."""


class TangentDriver:
    """Copies operations of a source function and interleaves their tangents.

    `primal` maps source values to copies; `tangents` maps source values to tangents and lacks
    those that are exactly zero. `rules` are those of structured operations.
    """

    def __init__(
        self,
        module: Module,
        builder: Builder,
        rules: Mapping[type[Operation], TangentRule],
        active: set[Value],
    ) -> None:
        self.module = module
        self.builder = builder
        self.rules = rules
        self.active = active
        self.primal: dict[Value, Value] = {}
        self.tangents: dict[Value, Value] = {}

    def inside(self, block: Block) -> TangentDriver:
        """A driver that emits into `block`, knowing all that is known here."""
        inner = TangentDriver(self.module, Builder(block), self.rules, self.active)
        inner.primal = dict(self.primal)
        inner.tangents = dict(self.tangents)
        return inner

    def tangent_or_zero(self, value: Value) -> Value:
        """The tangent of a source value, as a value."""
        known = self.tangents.get(value)
        if known is None:
            known = control.zeros(self.builder, self.primal.get(value, value).type)
        return known

    def record(self, value: Value, tangent: Value | None) -> None:
        """Set the tangent of a source value."""
        if tangent is None or not is_differentiable(value):
            return
        if not tangent.name and value.name:
            tangent.name = f"{value.name}_dot"
        self.tangents[value] = tangent

    def block(self, block: Block) -> None:
        """Emit everything in `block` but its terminator."""
        for op in block:
            if not op.has(Trait.TERMINATOR):
                self.operation(op)

    def region(self, source: Block, active: Sequence[int]) -> Block:
        """A region whose arguments carry no tangents; tangents of its yields `active` come last."""
        block = Block()
        inner = self.inside(block)
        for arg in source.args:
            inner.primal[arg] = block.add_arg(arg.type, arg.name)
        inner.block(source)
        outputs = source.terminator.operands
        with inner.builder.at(self.builder.location):
            values = [inner.primal.get(value, value) for value in outputs]
            values += [inner.tangent_or_zero(outputs[i]) for i in active]
            control.make_yield(inner.builder, values)
        return block

    def adopt(self, op: Operation, made: Operation, active: Sequence[int]) -> None:
        """Take the results of `made`: those of `op`, then the tangents of its results `active`."""
        for old, value in zip(op.results, made.results, strict=False):
            value.name = old.name
            self.primal[old] = value
        for i, value in zip(active, made.results[len(op.results) :], strict=True):
            self.record(op.results[i], value)

    def operation(self, op: Operation) -> None:
        """Emit one operation of the source and its tangents."""
        location = op.location.by("tangent")
        with self.builder.at(location):
            is_active = any(value in self.active for value in op.results)
            rule = self.rules.get(type(op)) if is_active else None
            if rule is not None:
                rule(self, op)
                return
            copy = self.builder.insert(op.clone(self.primal))
            if not is_active:
                return
            incoming = [self.tangents.get(value) for value in op.operands]
            if all(tangent is None for tangent in incoming):
                return
            for value, tangent in zip(
                op.results, copy.tangent(self.builder, incoming), strict=True
            ):
                self.record(value, tangent)


def emit_tangent(
    module: Module,
    source: func.Func,
    wrt: Sequence[int],
    of: Sequence[int],
    rules: Mapping[type[Operation], TangentRule],
) -> func.Func:
    """Add `@<name>_tangent(arguments…, tangents of wrt…) -> (results…, tangents of of…)`."""
    args = source.body.args
    types = [arg.type for arg in args] + [args[i].type for i in wrt]
    names = [arg.name for arg in args] + [
        f"{args[i].name}_dot" if args[i].name else "" for i in wrt
    ]
    new, builder = func.function(
        module, f"{source.sym_name}_tangent", types, names, source.location, private=True
    )
    active = active_values(source.body, [args[i] for i in wrt])
    driver = TangentDriver(module, builder, rules, active)
    driver.primal.update(zip(args, new.body.args, strict=False))
    for position, i in enumerate(wrt):
        driver.record(args[i], new.body.args[len(args) + position])
    driver.block(source.body)
    outputs = source.body.terminator.operands
    results = [driver.primal[value] for value in outputs]
    with builder.at(source.location.by("tangent")):
        results += [driver.tangent_or_zero(outputs[i]) for i in of]
    return func.finish(new, builder, results)
