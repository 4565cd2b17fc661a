"""Reverse mode: emits the source operations, then their adjoints in reverse order.

Adjoint rules use whatever forward values they need. Which of these are kept and which are
recomputed is decided where a loop boundary is crossed (`tape.py`), not by the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dmc.autodiff.activity import active_values, is_differentiable
from dmc.dialects import arith, control, func
from dmc.dialects.elementwise import Elementwise, Keep
from dmc.ir import Block, Builder, Module, Operation, Trait, Value

Pullback = Callable[["AdjointDriver"], None]
"""Turns the cotangents recorded for an operation's results into those of its operands."""
AdjointRule = Callable[["AdjointDriver", Operation], Pullback]
"""Emits a structured operation of the source and says how to pull cotangents back through it."""


class AdjointDriver:
    """Emits a block of the source forward and then backward.

    `primal` maps source values to copies. `cotangents` maps source values to what has been
    accumulated so far. `masked` holds cotangents in which an untaken branch may have left exact
    zeros; elementwise adjoints keep these zero whatever the partial derivative is. `may_mask`
    tells whether the source has such branches at all.
    """

    def __init__(
        self,
        module: Module,
        builder: Builder,
        rules: Mapping[type[Operation], AdjointRule],
        active: set[Value],
        may_mask: bool,
    ) -> None:
        self.module = module
        self.builder = builder
        self.rules = rules
        self.active = active
        self.may_mask = may_mask
        self.primal: dict[Value, Value] = {}
        self.cotangents: dict[Value, Value] = {}
        self.masked: set[Value] = set()

    def inside(self, block: Block) -> AdjointDriver:
        """A driver for a region, emitting into `block`; it starts with no cotangents."""
        inner = AdjointDriver(self.module, Builder(block), self.rules, self.active, self.may_mask)
        inner.primal = dict(self.primal)
        inner.masked = set(self.masked)
        return inner

    # Cotangents

    def cotangent_or_zero(self, value: Value) -> Value:
        """The cotangent of a source value, as a value."""
        known = self.cotangents.get(value)
        return arith.zeros(self.builder, value.type) if known is None else known

    def accumulate(self, value: Value, part: Value | None, masked: bool = False) -> None:
        """Add a contribution to the cotangent of a source value, if it is active."""
        if part is None or value not in self.active:
            return
        known = self.cotangents.get(value)
        total = part if known is None else arith.add(self.builder, known, part)
        if masked or part in self.masked or (known is not None and known in self.masked):
            self.masked.add(total)
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
        masked = any(cotangent in self.masked for cotangent in incoming if cotangent is not None)
        with self.builder.at(op.location.by("adjoint")):
            if isinstance(copy, Elementwise):
                parts = copy.pull_back(self.builder, incoming[0], guarded=masked)
                masked = masked or any(isinstance(term, Keep) for term in copy.terms)
            else:
                parts = copy.adjoint(self.builder, incoming)
            for value, part in zip(op.operands, parts, strict=True):
                self.accumulate(value, part, masked)


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
    driver = AdjointDriver(module, builder, rules, active, _has_branches(source, active))
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


def _has_branches(source: func.Func, active: set[Value]) -> bool:
    """Whether an active operation of `source` lets only one of several values through."""
    return any(
        isinstance(op, control.If)
        or (isinstance(op, Elementwise) and any(isinstance(term, Keep) for term in op.terms))
        for op in source.walk()
        if any(value in active for value in op.results)
    )
