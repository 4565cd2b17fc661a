"""A lowered function with the types that Python needs, and derivatives of it as wrappers in IR."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dmc.api.conversion import refuse
from dmc.dialects import arith, autodiff, control, func, tensor
from dmc.ir import Block, Builder, DType, Module, TensorType, Value
from dmc.ir.location import Span
from dmc.semantics.sizes import Size
from dmc.semantics.types import (
    Leaf,
    TupleType,
    Type,
    children,
    gradient_type,
    leaves,
    stack,
)
from dmc.semantics.types import TensorType as DmTensorType


@dataclass(frozen=True)
class Entry:
    """A public function of `module`; `parameters` and `result` are its types, all concrete.

    Its arguments are the leaves of the parameters, its results those of `result`.
    """

    module: Module
    function: func.Func
    parameters: tuple[tuple[str, Type], ...]
    result: Type
    span: Span

    @property
    def arguments(self) -> tuple[Leaf, ...]:
        return tuple(leaf for name, type_ in self.parameters for leaf in leaves(type_, (name,)))


@dataclass(frozen=True)
class Wrt:
    """The arguments to differentiate in: their leaves by position, and the type of a gradient."""

    indexes: tuple[int, ...]
    type: Type


def resolve_wrt(entry: Entry, paths: Sequence[str] | None) -> Wrt:
    """Find `paths` (dotted, such as `net.head`) among the parameters; None is the first parameter.

    Raises dmc.Error for a path that does not exist or holds no floats.
    """
    wanted = [entry.parameters[0][0]] if paths is None else list(paths)
    types: list[Type] = []
    indexes: list[int] = []
    for path in wanted:
        steps = tuple(path.split("."))
        types.append(gradient_type(_type_at(entry, steps)))
        here = [
            i
            for i, leaf in enumerate(entry.arguments)
            if leaf.path[: len(steps)] == steps and leaf.is_trained
        ]
        if not here:
            hint = "integers, keys, frozen and state fields carry no gradient"
            raise refuse("grad.wrt", f"`{path}` has nothing to differentiate in", entry.span, hint)
        indexes += here
    single = paths is None or len(wanted) == 1
    return Wrt(tuple(indexes), types[0] if single else TupleType(tuple(types)))


def _type_at(entry: Entry, steps: tuple[str, ...]) -> Type:
    known = dict(entry.parameters)
    at: Type | None = None
    for position, step in enumerate(steps):
        if step not in known:
            names = ", ".join(known) or "nothing"
            where = ".".join(steps[: position + 1])
            raise refuse("grad.wrt", f"there is no `{where}` (there is {names})", entry.span)
        at = known[step]
        known = {name: part for name, part, _ in children(at)}
    assert at is not None
    return at


@dataclass(frozen=True)
class Operator:
    """A differentiation operator: makes an entry from an entry. `wrt` is as in `resolve_wrt`."""

    wrt: tuple[str, ...] | None = None

    def apply(self, entry: Entry) -> Entry:
        raise TypeError(f"{type(self).__name__} does not say what it makes")


@dataclass(frozen=True)
class Gradient(Operator):
    """`grad` and, with the value, `value_and_grad`: of the first component of the result."""

    with_value: bool = False

    def apply(self, entry: Entry) -> Entry:
        wrt = resolve_wrt(entry, self.wrt)
        _require_scalar(entry)
        wrapper = _Wrapper(entry, "value_and_grad" if self.with_value else "grad")
        builder = wrapper.builder
        seed = arith.ones(builder, entry.function.function_type.results[0])
        values, bars = autodiff.vjp(
            builder, entry.function, wrapper.arguments, [seed], wrt.indexes, [0]
        )
        if self.with_value:
            return wrapper.finish([*values, *bars], TupleType((entry.result, wrt.type)))
        _, auxiliary = split_result(entry.result)
        if auxiliary is None:
            return wrapper.finish(bars, wrt.type)
        return wrapper.finish([*bars, *values[1:]], TupleType((wrt.type, auxiliary)))


@dataclass(frozen=True)
class Pushforward(Operator):
    """`jvp`: takes a last parameter `along`, gives the result and its tangent (or that alone)."""

    with_value: bool = True

    def apply(self, entry: Entry) -> Entry:
        wrt = resolve_wrt(entry, self.wrt)
        primary, _ = split_result(entry.result)
        name = fresh("along", [name for name, _ in entry.parameters])
        wrapper = _Wrapper(entry, "jvp", (name, wrt.type))
        outputs = [i for i, leaf in enumerate(leaves(primary)) if leaf.is_trained]
        arguments = wrapper.arguments
        count = len(entry.arguments)
        values, dots = autodiff.jvp(
            wrapper.builder,
            entry.function,
            arguments[:count],
            arguments[count:],
            wrt.indexes,
            outputs,
        )
        if not self.with_value:
            return wrapper.finish(dots, gradient_type(primary))
        both = TupleType((entry.result, gradient_type(primary)))
        return wrapper.finish([*values, *dots], both)


@dataclass(frozen=True)
class Pullback(Operator):
    """`vjp`: takes a last parameter `cotangent`, gives the gradient it pulls back to."""

    def apply(self, entry: Entry) -> Entry:
        wrt = resolve_wrt(entry, self.wrt)
        primary, _ = split_result(entry.result)
        name = fresh("cotangent", [name for name, _ in entry.parameters])
        wrapper = _Wrapper(entry, "vjp", (name, gradient_type(primary)))
        outputs = [i for i, leaf in enumerate(leaves(primary)) if leaf.is_trained]
        count = len(entry.arguments)
        _, bars = autodiff.vjp(
            wrapper.builder,
            entry.function,
            wrapper.arguments[:count],
            wrapper.arguments[count:],
            wrt.indexes,
            outputs,
        )
        return wrapper.finish(bars, wrt.type)


@dataclass(frozen=True)
class Jacobian(Operator):
    """`jacobian` of an array-valued function: a gradient for each element of the result."""

    def apply(self, entry: Entry) -> Entry:
        wrt = resolve_wrt(entry, self.wrt)
        primary, _ = split_result(entry.result)
        output = entry.function.function_type.results[0]
        if not isinstance(primary, DmTensorType) or not isinstance(output, TensorType):
            raise refuse("grad.jacobian", f"the result is {primary}, not an array", entry.span)
        wrapper = _Wrapper(entry, "jacobian")
        block = Block([control.INDEX] * output.rank)
        inner = Builder(block, location=wrapper.builder.location)
        seed = _one_hot(inner, block.args, output)
        _, bars = autodiff.vjp(inner, entry.function, wrapper.arguments, [seed], wrt.indexes, [0])
        control.make_yield(inner, bars)
        rows = control.make_map(wrapper.builder, output.shape, block)
        type_ = wrt.type
        for extent in reversed(output.shape):
            type_ = stack(Size.of(extent), type_)
        return wrapper.finish(rows.results, type_)


def _one_hot(builder: Builder, point: Sequence[Value], type_: TensorType) -> Value:
    """One at `point`, zero elsewhere."""
    whole = TensorType(type_.shape, DType.I64)
    hit: Value | None = None
    for axis, index in enumerate(point):
        here = arith.compare(
            builder,
            arith.Direction.EQ,
            tensor.iota(builder, whole, axis),
            tensor.broadcast(builder, index, type_.shape),
        )
        hit = here if hit is None else arith.logical_and(builder, hit, here)
    if hit is None:
        return arith.ones(builder, type_)
    return arith.convert(builder, hit, type_.dtype)


class _Wrapper:
    """A function with the parameters of `entry` (and perhaps one more) that is being built."""

    def __init__(self, entry: Entry, prefix: str, extra: tuple[str, Type] | None = None) -> None:
        self.entry = entry
        self.parameters = entry.parameters if extra is None else (*entry.parameters, extra)
        listed = [leaf for name, type_ in self.parameters for leaf in leaves(type_, (name,))]
        types = [*entry.function.function_type.inputs]
        types += [_tensor_type(leaf) for leaf in listed[len(types) :]]
        location = entry.function.location
        self.function, self.builder = func.function(
            entry.module,
            f"{prefix}_{entry.function.sym_name}",
            types,
            ["_".join(leaf.path) for leaf in listed],
            location,
        )
        entry.function.attributes["visibility"] = "private"

    @property
    def arguments(self) -> list[Value]:
        return list(self.function.body.args)

    def finish(self, values: Sequence[Value], result: Type) -> Entry:
        func.finish(self.function, self.builder, values)
        return replace(
            self.entry, function=self.function, parameters=self.parameters, result=result
        )


def _tensor_type(leaf: Leaf) -> TensorType:
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
    primary, _ = split_result(entry.result)
    is_scalar = isinstance(primary, DmTensorType) and not primary.shape
    if not is_scalar or not next(iter(leaves(primary))).is_trained:
        hint = "use `dmc.vjp` or `dmc.jacobian`, or reduce it: `mean(…)`"
        raise refuse("grad.scalar", f"the result is {primary}, not a float", entry.span, hint)


def split_result(result: Type) -> tuple[Type, Type | None]:
    """What is differentiated and what is returned beside it."""
    if not isinstance(result, TupleType) or not result.items:
        return result, None
    rest = result.items[1:]
    if not rest:
        return result.items[0], None
    return result.items[0], rest[0] if len(rest) == 1 else TupleType(rest)


def fresh(name: str, taken: Sequence[str]) -> str:
    """`name`, with as many underscores as it takes to differ from those taken."""
    while name in taken:
        name += "_"
    return name
