"""Reverse mode: emits the source operations, then their adjoints in reverse order.

Adjoint rules use whatever forward values they need, those of loop bodies and branches included.
Which of these are kept and which are recomputed is decided when all is emitted (`tape.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dmc.autodiff.activity import active_values, is_differentiable
from dmc.autodiff.settle import settle
from dmc.autodiff.tape import Tape
from dmc.dialects import arith, control, func, tensor
from dmc.ir import Block, Builder, Module, Operation, Trait, Value

Entering = Callable[[Value], Value | None]
"""The cotangent, so far, of a value from around a region, where that region adds to it."""
Pullback = Callable[["AdjointDriver"], None]
"""Turns the cotangents recorded for an operation's results into those of its operands."""
AdjointRule = Callable[["AdjointDriver", Operation], Pullback]
"""Emits a structured operation of the source and says how to pull cotangents back through it."""


class AdjointDriver:
    """Emits a block of the source forward and then backward.

    `primal` maps source values to copies. `cotangents` maps source values to what has been
    accumulated so far. A region adds to the cotangents of values
    from around it in place, beginning with what `entering` gives for them.
    """

    def __init__(
        self,
        module: Module,
        builder: Builder,
        rules: Mapping[type[Operation], AdjointRule],
        active: set[Value],
        tape: Tape,
    ) -> None:
        self.module = module
        self.builder = builder
        self.rules = rules
        self.active = active
        self.tape = tape
        self.entering: Entering = _nothing
        self.primal: dict[Value, Value] = {}
        self.cotangents: dict[Value, Value] = {}
        self.entered: set[Value] = set()
        """The values from around whose cotangents have come in."""

    def inside(self, block: Block) -> AdjointDriver:
        """A driver for a region, emitting into `block`; it starts with no cotangents."""
        inner = AdjointDriver(self.module, Builder(block), self.rules, self.active, self.tape)
        inner.primal = dict(self.primal)
        return inner

    # Cotangents

    def known(self, value: Value) -> Value | None:
        """The cotangent of a source value so far."""
        found = self.cotangents.get(value)
        if found is None:
            found = self.entering(value)
            if found is not None:
                self.cotangents[value] = found
                self.entered.add(value)
        return found

    def cotangent_or_zero(self, value: Value) -> Value:
        """The cotangent of a source value, as a value."""
        known = self.known(value)
        return control.zeros(self.builder, value.type) if known is None else known

    def accumulate(self, value: Value, part: Value | None) -> None:
        """Add a contribution to the cotangent of a source value, if it is active."""
        if part is None or value not in self.active:
            return
        known = self.known(value)
        total = part if known is None else arith.add(self.builder, known, part)
        self.replace(value, total)

    def replace(self, value: Value, total: Value) -> None:
        """Set the cotangent of a source value, to which what is known was added already."""
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

    def copy(self, op: Operation) -> Operation:
        """Emit `op` as it is."""
        copy = self.builder.insert(op.clone(dict(self.primal) if op.regions else self.primal))
        self.adopt(op, copy)
        return copy

    def adopt(self, op: Operation, copy: Operation) -> None:
        """Let `copy` stand for `op`."""
        for old, new in zip(op.results, copy.results, strict=True):
            new.name = old.name
            self.primal[old] = new

    def forward_operation(self, op: Operation) -> list[Pullback]:
        """Emit one operation; an inactive one has nothing to pull back."""
        with self.builder.at(op.location):
            if not any(value in self.active for value in op.results):
                self.copy(op)
                return []
            rule = self.rules.get(type(op))
            if rule is not None:
                return [rule(self, op)]
            copy = self.copy(op)
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
            if isinstance(copy, tensor.Reading) and self._read_back(op, copy):
                return
            parts = copy.adjoint(self.builder, incoming)
            for value, part in zip(op.operands, parts, strict=True):
                self.accumulate(value, part)

    def _read_back(self, op: Operation, copy: tensor.Reading) -> bool:
        """Add to the cotangent of what `op` reads in place, if there is one already."""
        source = op.operands[0]
        known = self.known(source)
        if known is None:
            return False
        grows = source in self.entered or isinstance(known.defining_op, tensor.Update)
        if copy.knows_place and not grows:
            return False
        incoming = [self.cotangents.get(value) for value in op.results]
        total = copy.add_adjoint(self.builder, incoming, known)
        if total is not None:
            self.replace(source, total)
        return True


def _nothing(_: Value) -> None:
    return None


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
    tape = Tape()
    driver = AdjointDriver(module, builder, rules, active, tape)
    driver.primal.update(zip(args, new.body.args, strict=False))
    pullbacks = driver.forward(source.body)
    with builder.at(source.location.by("adjoint")):
        for position, i in enumerate(of):
            if is_differentiable(outputs[i]):
                driver.accumulate(outputs[i], new.body.args[len(args) + position])
        driver.reverse(pullbacks)
        results = [driver.primal[value] for value in outputs]
        results += [driver.cotangent_or_zero(args[i]) for i in wrt]
    made = func.finish(new, builder, results)
    settle(tape, new.body)
    return made
