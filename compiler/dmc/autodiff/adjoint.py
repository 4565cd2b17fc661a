"""Reverse mode: emits the source operations, then their adjoints in reverse order.

Adjoint rules use whatever forward values they need. Which of these are kept and which are
recomputed is decided where a loop boundary is crossed (`tape.py`), not by the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dmc.autodiff.activity import active_values, is_differentiable
from dmc.dialects import arith, func
from dmc.ir import Block, Builder, Module, Operation, Trait, Value

Pullback = Callable[["AdjointDriver"], None]
"""Turns the cotangents recorded for an operation's results into those of its operands."""
AdjointRule = Callable[["AdjointDriver", Operation], Pullback]
"""Emits a structured operation of the source and says how to pull cotangents back through it."""


class AdjointDriver:
    """Emits a block of the source forward and then backward.

    `primal` maps source values to copies. `cotangents` maps source values to what has been
    accumulated so far.
    """

    def __init__(
        self,
        module: Module,
        builder: Builder,
        rules: Mapping[type[Operation], AdjointRule],
        active: set[Value],
    ) -> None:
        self.module = module
        self.builder = builder
        self.rules = rules
        self.active = active
        self.primal: dict[Value, Value] = {}
        self.cotangents: dict[Value, Value] = {}

    def inside(self, block: Block) -> AdjointDriver:
        """A driver for a region, emitting into `block`; it starts with no cotangents."""
        inner = AdjointDriver(self.module, Builder(block), self.rules, self.active)
        inner.primal = dict(self.primal)
        return inner

    # Cotangents

    def cotangent_or_zero(self, value: Value) -> Value:
        """The cotangent of a source value, as a value."""
        known = self.cotangents.get(value)
        return arith.zeros(self.builder, value.type) if known is None else known

    def accumulate(self, value: Value, part: Value | None) -> None:
        """Add a contribution to the cotangent of a source value, if it is active."""
        if part is None or value not in self.active:
            return
        known = self.cotangents.get(value)
        total = part if known is None else arith.add(self.builder, known, part)
        if not total.name and value.name:
            total.name = f"{value.name}_bar"
        self.cotangents[value] = total

    # Forward

    def forward(self, block: Block) -> list[Pullback]:
        """Emit `block` without its terminator; the pullbacks are in forward order."""
        return [
            pullback
            for op in block
            if not op.has(Trait.TERMINATOR)
            for pullback in self.forward_operation(op)
        ]

    def forward_operation(self, op: Operation) -> list[Pullback]:
        """Emit one operation; an inactive one has nothing to pull back."""
        with self.builder.at(op.location):
            if not any(value in self.active for value in op.results):
                self.builder.insert(op.clone(self.primal))
                return []
            rule = self.rules.get(type(op))
            if rule is not None:
                return [rule(self, op)]
            copy = self.builder.insert(op.clone(self.primal))
            return [lambda driver: driver.pull_back(op, copy)]

    # Reverse

    def reverse(self, pullbacks: Sequence[Pullback]) -> None:
        """Pull cotangents back through everything that was emitted forward."""
        for pullback in reversed(pullbacks):
            pullback(self)

    def pull_back(self, op: Operation, copy: Operation) -> None:
        """Apply the adjoint rule of `op`, whose forward copy is `copy`."""
        incoming = [self.cotangents.get(value) for value in op.results]
        if all(cotangent is None for cotangent in incoming):
            return
        with self.builder.at(op.location.by("adjoint")):
            parts = copy.adjoint(self.builder, incoming)
            for value, part in zip(op.operands, parts, strict=True):
                self.accumulate(value, part)


def emit_adjoint(
    module: Module,
    source: func.Func,
    wrt: Sequence[int],
    of: Sequence[int],
    rules: Mapping[type[Operation], AdjointRule],
) -> func.Func:
    """Add `@<name>_adjoint(arguments…, cotangents of of…) -> (results…, cotangents of wrt…)`."""
    args = source.body.args
    outputs = source.body.terminator.operands
    types = [arg.type for arg in args] + [outputs[i].type for i in of]
    names = [arg.name for arg in args]
    names += [f"{outputs[i].name or 'out'}_bar" for i in of]
    new, builder = func.function(
        module, f"{source.sym_name}_adjoint", types, names, source.location, private=True
    )
    active = active_values(source.body, [args[i] for i in wrt])
    driver = AdjointDriver(module, builder, rules, active)
    driver.primal.update(zip(args, new.body.args, strict=False))
    pullbacks = driver.forward(source.body)
    with builder.at(source.location.by("adjoint")):
        for position, i in enumerate(of):
            if is_differentiable(outputs[i]):
                driver.accumulate(outputs[i], new.body.args[len(args) + position])
        driver.reverse(pullbacks)
        results = [driver.primal[value] for value in outputs]
        results += [driver.cotangent_or_zero(args[i]) for i in wrt]
    return func.finish(new, builder, results)
