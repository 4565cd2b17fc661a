"""A function with the types that Python needs, and derivatives of it as wrappers in IR.

Types are known at once; IR is made when it is asked for, which it is not when the machine code of
an earlier process can be used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from dmc.api.conversion import refuse
from dmc.api.operators import (
    Gradient,
    Held,
    Jacobian,
    Operator,
    Pullback,
    Pushforward,
    Sweep,
    Wrt,
)
from dmc.diagnostics.errors import Error
from dmc.dialects import func
from dmc.dialects.derivatives import Problem
from dmc.ir import DType, Module, TensorType, Value
from dmc.ir.location import Span
from dmc.process import lazy
from dmc.semantics.sizes import Size
from dmc.semantics.types import (
    Blocks,
    Leaf,
    TupleType,
    Type,
    children,
    formed,
    gradient_type,
    leaves,
    stack,
)
from dmc.semantics.types import TensorType as DmTensorType
from dmc_runtime.budget import NO_BUDGET, Budget


@dataclass(frozen=True)
class Lowered:
    """A public function of a module."""

    module: Module
    function: func.Func


@dataclass(frozen=True)
class Entry:
    """What is called; all types are concrete.

    The arguments of the function are the leaves of `parameters`, its results those of `result`.
    Operators differentiate `primary`: the first component of the result when it `has_auxiliary`
    ones. `lower` makes the IR.
    """

    lower: Callable[[], Lowered]
    parameters: tuple[tuple[str, Type], ...]
    result: Type
    has_auxiliary: bool
    name: str
    span: Span
    budget: Budget = NO_BUDGET
    """What a call may take beside arguments and results."""

    @lazy
    def lowered(self) -> Lowered:
        """The IR, made once."""
        return self.lower()

    @property
    def arguments(self) -> tuple[Leaf, ...]:
        return tuple(leaf for name, type_ in self.parameters for leaf in leaves(type_, (name,)))

    def refuse(self, code: str, message: str, help_: str = "") -> Error:
        """The error for a derivative that does not exist."""
        return refuse(code, f"{self.name}: {message}", self.span, help_)

    @property
    def primary(self) -> Type:
        """What is differentiated."""
        return _items(self.result)[0] if self.has_auxiliary else self.result

    @property
    def auxiliary(self) -> Type | None:
        """What rides along."""
        if not self.has_auxiliary:
            return None
        _, *rest = _items(self.result)
        return rest[0] if len(rest) == 1 else TupleType(tuple(rest))


def is_several(result: Type) -> bool:
    """Whether a declared result has auxiliary components."""
    return isinstance(result, TupleType) and len(result.items) > 1


def _items(type_: Type) -> tuple[Type, ...]:
    assert isinstance(type_, TupleType)
    return type_.items


@dataclass(frozen=True)
class Target:
    """The arguments to differentiate in: their leaves by position, and the type of a gradient."""

    indexes: tuple[int, ...]
    type: Type


def find_target(entry: Entry, wrt: Wrt) -> Target:
    """Find what `wrt` names among the parameters.

    Raises dmc.Error for a path that does not exist or holds no floats.
    """
    if wrt is None:
        if not entry.parameters:
            raise entry.refuse("grad.wrt", "there is no parameter to differentiate in")
        wrt = entry.parameters[0][0]
    paths = (wrt,) if isinstance(wrt, str) else wrt
    types: list[Type] = []
    indexes: list[int] = []
    for path in paths:
        steps = tuple(path.split("."))
        types.append(gradient_type(_type_at(entry, steps)))
        here = [
            i
            for i, leaf in enumerate(entry.arguments)
            if leaf.path[: len(steps)] == steps and leaf.is_trained
        ]
        if not here:
            hint = "integers, keys, frozen and state fields carry no gradient"
            raise entry.refuse("grad.wrt", f"`{path}` has nothing to differentiate in", hint)
        indexes += here
    if len(set(indexes)) < len(indexes):
        raise entry.refuse("grad.wrt", f"`wrt` names a part twice: {', '.join(paths)}")
    return Target(tuple(indexes), types[0] if isinstance(wrt, str) else TupleType(tuple(types)))


def _type_at(entry: Entry, steps: tuple[str, ...]) -> Type:
    known = dict(entry.parameters)
    at: Type | None = None
    for position, step in enumerate(steps):
        if step not in known:
            where = ".".join(steps[: position + 1])
            there = ", ".join(f"`{name}`" for name in known) or "nothing"
            raise entry.refuse("grad.wrt", f"there is no `{where}`; there is {there}")
        at = known[step]
        known = {name: part for name, part, _ in children(at)}
    assert at is not None
    return at


def apply(operator: Operator, entry: Entry) -> Entry:
    """The entry that a differentiation operator makes of an entry.

    Raises dmc.Error (`grad.*`) when there is no such derivative.
    """
    match operator:
        case Gradient():
            return _gradient(operator, entry)
        case Pushforward():
            return _pushforward(operator, entry)
        case Pullback():
            return _pullback(operator, entry)
        case Jacobian():
            return _jacobian(operator, entry)
        case Sweep():
            return _sweep(operator, entry)
        case Held(budget):
            return replace(entry, budget=budget)


def _gradient(operator: Gradient, entry: Entry) -> Entry:
    target = find_target(entry, operator.wrt)
    _require_scalar(entry)

    def build(wrapper: _Wrapper) -> Sequence[Value]:
        values, bars = wrapper.problem(target, operator.budget).gradient(wrapper.builder)
        return [*values, *bars] if operator.with_value else [*bars, *values[1:]]

    if operator.with_value:
        return _derived(entry, "value_and_grad", build, entry.result, target.type)
    return _derived(entry, "grad", build, target.type, entry.auxiliary)


def _pushforward(operator: Pushforward, entry: Entry) -> Entry:
    target, of = find_target(entry, operator.wrt), _float_results(entry)
    name, batch = fresh("along", [name for name, _ in entry.parameters]), operator.batch
    extra = name, _batched(batch, target.type)

    def build(wrapper: _Wrapper) -> Sequence[Value]:
        problem, builder = wrapper.problem(target), wrapper.builder
        if batch is None:
            values, dots = problem.push(builder, wrapper.extra, of)
            return [*values, *dots] if operator.with_value else dots
        swept = problem.sweep(builder, wrapper.extra, of, in_reverse=False)
        return [*problem.call(builder), *swept] if operator.with_value else swept

    tangent = _batched(batch, gradient_type(entry.primary))
    if operator.with_value:
        return _derived(entry, "jvp", build, entry.result, tangent, extra)
    return _derived(entry, "jvp", build, tangent, None, extra)


def _pullback(operator: Pullback, entry: Entry) -> Entry:
    target, of = find_target(entry, operator.wrt), _float_results(entry)
    name = fresh("cotangent", [name for name, _ in entry.parameters])

    def build(wrapper: _Wrapper) -> Sequence[Value]:
        problem = wrapper.problem(target, operator.budget)
        if operator.batch is not None:
            return problem.sweep(wrapper.builder, wrapper.extra, of, in_reverse=True)
        return problem.pull(wrapper.builder, wrapper.extra, of)[1]

    extra = name, _batched(operator.batch, gradient_type(entry.primary))
    return _derived(entry, "vjp", build, _batched(operator.batch, target.type), None, extra)


def _batched(count: int | None, type_: Type) -> Type:
    return type_ if count is None else stack(Size.of(count), type_)


def _jacobian(operator: Jacobian, entry: Entry) -> Entry:
    target, of = find_target(entry, operator.wrt), _float_results(entry)

    def build(wrapper: _Wrapper) -> Sequence[Value]:
        blocks = wrapper.problem(target).jacobian(wrapper.builder, of)
        if entry.auxiliary is None:
            return blocks
        values = wrapper.problem(target).call(wrapper.builder)
        return [*blocks, *values[len(list(leaves(entry.primary))) :]]

    type_ = formed(Blocks(target.type), gradient_type(entry.primary))
    return _derived(entry, "jacobian", build, type_, entry.auxiliary)


def _sweep(operator: Sweep, entry: Entry) -> Entry:
    target, of = find_target(entry, operator.wrt), _float_results(entry)
    name = fresh("directions", [name for name, _ in entry.parameters])
    inputs: list[Type] = [entry.arguments[i].type for i in target.indexes]
    results = [leaf.type for leaf in leaves(entry.primary)]
    outputs: list[Type] = [results[i] for i in of]

    def build(wrapper: _Wrapper) -> Sequence[Value]:
        problem = wrapper.problem(target)
        return problem.sweep(wrapper.builder, wrapper.extra, of, operator.in_reverse)

    def stacks(types: Sequence[Type]) -> Type:
        return TupleType(tuple(stack(Size.of(operator.count), type_) for type_ in types))

    taken, given = (outputs, inputs) if operator.in_reverse else (inputs, outputs)
    return _derived(entry, "sweep", build, stacks(given), None, (name, stacks(taken)))


def _float_results(entry: Entry) -> list[int]:
    """The leaves of the result that are differentiated, by position."""
    _require_float(entry)
    return [i for i, leaf in enumerate(leaves(entry.primary)) if leaf.is_trained]


def _derived(
    entry: Entry,
    prefix: str,
    build: Callable[[_Wrapper], Sequence[Value]],
    primary: Type,
    auxiliary: Type | None,
    extra: tuple[str, Type] | None = None,
) -> Entry:
    """The entry with the results that `build` gives; its parameters and perhaps one more."""
    parameters = entry.parameters if extra is None else (*entry.parameters, extra)

    def lower() -> Lowered:
        wrapper = _Wrapper(entry, prefix, parameters)
        func.finish(wrapper.function, wrapper.builder, build(wrapper))
        return Lowered(entry.lowered.module, wrapper.function)

    return replace(
        entry,
        lower=lower,
        parameters=parameters,
        result=primary if auxiliary is None else TupleType((primary, auxiliary)),
        has_auxiliary=auxiliary is not None,
    )


class _Wrapper:
    """A function with the parameters of `entry` (and perhaps one more) that is being built."""

    def __init__(self, entry: Entry, prefix: str, parameters: tuple[tuple[str, Type], ...]) -> None:
        self.entry = entry
        inner = entry.lowered.function
        listed = [leaf for name, type_ in parameters for leaf in leaves(type_, (name,))]
        types = [*inner.function_type.inputs]
        types += [tensor_type(leaf) for leaf in listed[len(types) :]]
        self.function, self.builder = func.function(
            entry.lowered.module,
            f"{prefix}_{inner.sym_name}",
            types,
            [".".join(leaf.path) for leaf in listed],
            inner.location,
        )
        inner.attributes["visibility"] = "private"

    @property
    def arguments(self) -> tuple[Value, ...]:
        """Those of the entry."""
        return tuple(self.function.body.args[: len(self.entry.arguments)])

    @property
    def extra(self) -> tuple[Value, ...]:
        """The leaves of the further parameter."""
        return tuple(self.function.body.args[len(self.entry.arguments) :])

    def problem(self, target: Target, budget: Budget = NO_BUDGET) -> Problem:
        return Problem(self.entry.lowered.function, self.arguments, target.indexes, budget)


def tensor_type(leaf: Leaf) -> TensorType:
    """The type in IR of a leaf that is an array."""
    assert isinstance(leaf.type, DmTensorType)
    element = leaf.type.element
    assert isinstance(element, DType)
    return TensorType(tuple(_constants(leaf.type)), element)


def _constants(type_: DmTensorType) -> Iterator[int]:
    for axis in type_.shape:
        assert isinstance(axis, Size)
        assert axis.constant is not None
        yield axis.constant


def _require_scalar(entry: Entry) -> None:
    primary = entry.primary
    is_scalar = isinstance(primary, DmTensorType) and not primary.shape
    if not is_scalar or not next(iter(leaves(primary))).is_trained:
        hint = "use `dmc.vjp` or `dmc.jacobian`, or reduce it: `mean(…)`"
        raise entry.refuse("grad.scalar", f"the result is {primary}, not a float", hint)


def _require_float(entry: Entry) -> None:
    if not any(leaf.is_trained for leaf in leaves(entry.primary)):
        raise entry.refuse("grad.integer", f"{entry.primary} carries no derivative")


def fresh(name: str, taken: Sequence[str]) -> str:
    """`name`, with as many underscores as it takes to differ from those taken."""
    while name in taken:
        name += "_"
    return name
