"""Parameters whose gradient is zero everywhere, and the steps that make it so."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dmc.autodiff.activity import active_values, is_differentiable, smooth_operands
from dmc.diagnostics.diagnostic import Diagnostic
from dmc.dialects import func
from dmc.dialects.autodiff import Jvp, StopGradient, Vjp
from dmc.dialects.flow import ControlFlow
from dmc.ir import Module, Operation, Trait, Value
from dmc.ir.location import Span
from dmc.lints.fields import Field, arguments_of, reaches, results_of
from dmc.lints.instances import InstanceOfFunction
from dmc.lints.warning import quote, warning
from dmc.semantics.program import SourceModule
from dmc.semantics.types import FieldDeclaration, RecordDeclaration, Role


class Activity:
    """Which values of a module depend differentiably on others, through derivatives too."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._carried: dict[tuple[str, tuple[int, ...]], list[bool]] = {}

    def active(self, function: func.Func, seeds: Iterable[Value]) -> set[Value]:
        return active_values(function.body, seeds, self._smooth)

    def carried(self, callee: str, of: tuple[int, ...]) -> Sequence[bool]:
        """For each argument of a function whether one of the results `of` depends on it."""
        key = callee, of
        if key not in self._carried:
            function = func.lookup(self._module, callee)
            self._carried[key] = [True] * len(function.body.args)
            outputs = {function.body.terminator.operands[i] for i in of}
            self._carried[key] = [
                is_differentiable(arg) and not outputs.isdisjoint(self.active(function, [arg]))
                for arg in function.body.args
            ]
        return self._carried[key]

    def _smooth(self, op: Operation) -> Sequence[Value]:
        if not isinstance(op, Jvp | Vjp):
            return smooth_operands(op)
        carried = self.carried(op.callee.name, op.of)
        arguments = zip(op.arguments, carried, strict=True)
        return [*(value for value, is_carried in arguments if is_carried), *op.vectors]


# ---- what is asked for ------------------------------------------------------------------------


def zero_requests(instance: InstanceOfFunction, file: SourceModule) -> Iterator[Diagnostic]:
    """Derivatives that are asked for in a parameter on which the result does not depend."""
    activity = Activity(instance.module)
    for op in instance.function.walk():
        span = op.location.span
        if not isinstance(op, Jvp | Vjp) or span is None or span.file is not file.source:
            continue
        args = func.lookup(instance.module, op.callee.name).body.args
        carried = activity.carried(op.callee.name, op.of)
        asked = {args[i].name.partition(".")[0]: False for i in op.wrt}
        for i in op.wrt:
            asked[args[i].name.partition(".")[0]] |= carried[i]
        others = {args[i].name.partition(".")[0] for i, each in enumerate(carried) if each}
        for name in (name for name, depends in asked.items() if name and not depends):
            chosen = ", ".join(f"`wrt = {other}`" for other in sorted(others)) or "another one"
            yield warning(
                "lint.gradient",
                f"the gradient in `{name}` is zero everywhere",
                (span, f"no result depends on `{name}` smoothly"),
                f"differentiate in a parameter that counts: {chosen}",
            )


# ---- what is to be trained --------------------------------------------------------------------


@dataclass
class _Trained:
    """What the functions of a file do with a field that is trained."""

    model: RecordDeclaration
    field: FieldDeclaration
    is_used: bool = False
    is_carried: bool = False
    steps: list[Operation] = dataclasses.field(default_factory=list[Operation])


def untrained_fields(
    instances: Iterable[InstanceOfFunction], file: SourceModule, missing: set[RecordDeclaration]
) -> Iterator[Diagnostic]:
    """Params and sub-models whose gradient is zero, whatever function one differentiates.

    `missing` are the models of functions that there is no instance of. A model none of whose params
    count is one of which nothing is known here.
    """
    found = {
        (model.declaration, entry.name): _Trained(model.declaration, entry)
        for model in file.models.values()
        for entry in model.declaration.fields
        if model.declaration not in missing and entry.role in (Role.PARAM, Role.SUB)
    }
    for instance in instances:
        _follow(instance, found)
    for trained in found.values():
        others = [t for t in found.values() if t.model is trained.model and t is not trained]
        if trained.is_carried or not any(t.is_used for t in (trained, *others)):
            continue
        if trained.steps or any(t.is_carried for t in others):
            yield _untrained(trained, file)


def _follow(instance: InstanceOfFunction, found: dict[Field, _Trained]) -> None:
    """Record what a function does with each field of what it is given."""
    activity = Activity(instance.module)
    outputs = {value for value, fields in results_of(instance) if _is_result(fields)}
    held: dict[Field, list[Value]] = {}
    for value, fields, leaf in arguments_of(instance):
        for field in fields:
            if field in found and leaf.is_trained:
                held.setdefault(field, []).append(value)
    for field, values in held.items():
        trained = found[field]
        trained.is_used |= reaches(instance, values, outputs)
        active = activity.active(instance.function, values)
        trained.is_carried |= not outputs.isdisjoint(active)
        trained.steps += _steps(instance, active, outputs)


def _is_result(fields: Sequence[Field]) -> bool:
    """Whether a result counts: not a part of a model that is given back, or of its gradient."""
    return not any(owner.is_model for owner, _ in fields)


def _steps(
    instance: InstanceOfFunction, active: set[Value], outputs: set[Value]
) -> Iterator[Operation]:
    """The operations on the way to a result that have no derivative."""
    for op in instance.function.walk():
        if isinstance(op, ControlFlow | StopGradient | Jvp | Vjp) or op.has(Trait.TERMINATOR):
            continue
        ends = not active.isdisjoint(op.operands) and active.isdisjoint(op.results)
        if ends and reaches(instance, op.results, outputs):
            yield op


def _untrained(trained: _Trained, file: SourceModule) -> Diagnostic:
    model, entry = trained.model.name, trained.field
    written = "param" if entry.role is Role.PARAM else ""
    spans = [op.location.span for op in trained.steps]
    places = [span for span in spans if span is not None and span.file is file.source]
    if places and written:
        return warning(
            "lint.step",
            f"`{entry.name}` reaches a result only through what has no derivative",
            (places[0], "its derivative is zero everywhere"),
            _past(places[0], trained.steps[spans.index(places[0])], entry.name),
            [(entry.span, "this would not be trained")],
        )
    if written and trained.is_used:
        help_ = f"if it is not to be trained: `state {entry.name}`"
    else:
        help_ = f"use it, or leave it out of `{model}`"
    return warning(
        "lint.gradient",
        f"the gradient in `{entry.name}` is zero everywhere",
        (entry.span, f"no result of a function of `{model}` depends on it smoothly"),
        help_,
    )


def _past(span: Span, op: Operation, name: str) -> str:
    """How a gradient gets past a step, by the straight-through estimator, or is not wanted."""
    text = quote(span)
    word, opened, rest = text.partition("(")
    is_call = opened and word in ("floor", "ceil", "round", "sign") and rest.endswith(")")
    if is_call and all(is_differentiable(value) for value in (*op.operands, *op.results)):
        inner = rest[:-1] if rest[:-1].isidentifier() else f"({rest[:-1]})"
        return (
            "to let the gradient through as if this were not there: "
            f"`({inner} + stop_gradient({text} - {inner}))`"
        )
    return f"if it is not to be trained: `state {name}`"
