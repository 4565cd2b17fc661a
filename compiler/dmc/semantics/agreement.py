"""A value against the type it was declared to have."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.ir.location import Span
from dmc.ir.types import DType
from dmc.semantics import typed
from dmc.semantics.context import Context
from dmc.semantics.inference import is_float_like, join, same_axis, unify
from dmc.semantics.sizes import Size
from dmc.semantics.types import (
    FunctionType,
    Hole,
    Number,
    Stretch,
    TensorType,
    TupleType,
    Type,
    element_text,
    pruned,
    resolved,
)

__all__ = ["expect", "mismatch"]


def expect(
    context: Context,
    value: typed.Node,
    wanted: Type,
    span: Span,
    what: str = "",
    also: Sequence[tuple[Span, str]] = (),
) -> None:
    """Unify the type of `value` with `wanted`.

    Raises Stop after saying how they differ; `what` names the value, such as "`x` of `f`".
    """
    if not unify(context.facts, value.type, wanted):
        raise mismatch(context, pruned(value.type), pruned(wanted), _last(value, span), what, also)
    if isinstance(wanted, FunctionType):
        return


def _last(value: typed.Node, span: Span) -> Span:
    """The expression a block's value comes from: that is what has the wrong type."""
    while isinstance(value, typed.Block) and value.value is not None:
        value = value.value
        span = value.span
    return span


def mismatch(
    context: Context,
    actual: Type,
    wanted: Type,
    span: Span,
    what: str = "",
    also: Sequence[tuple[Span, str]] = (),
) -> Exception:
    """The error for a value of another type than declared."""
    subject = f"{what} is {actual}, not {wanted}" if what else f"this is {actual}, not {wanted}"
    match actual, wanted:
        case TensorType(), TensorType():
            return _tensor_mismatch(context, actual, wanted, span, subject, also)
        case TupleType(items), TupleType() if not items:
            return context.fail(
                "type.mismatch", f"no value here, and {wanted} is wanted", span, "", also,
                ["end the block with the value"],
            )  # fmt: skip
        case TupleType(()), _:
            return context.fail(
                "type.mismatch", subject, span, str(actual), also, ["end the block with the value"]
            )
        case FunctionType(), FunctionType():
            help_ = _fixed(context.quote(span), actual, wanted)
            return context.fail("type.mismatch", subject, span, str(actual), also, help_)
        case Hole(), _:
            title, help_ = f"{wanted} cannot be filled so", _all_false(wanted)
            return context.fail("type.mismatch", title, span, "", also, help_)
        case _:
            return context.fail("type.mismatch", subject, span, str(actual), also)


def _fixed(text: str, actual: FunctionType, wanted: FunctionType) -> list[str]:
    """Help for a function of more arguments than wanted: one with numbers for the others."""
    count = len(wanted.parameters)
    others = [pruned(type_) for type_ in actual.parameters[count:]]
    numbers = [type_ for type_ in others if isinstance(type_, TensorType) and not type_.shape]
    if not others or len(numbers) < len(others) or not text.isidentifier():
        return []
    names = "abcdefgh"[:count]
    given = [*names, *("0.0" if is_float_like(type_.element) else "0" for type_ in numbers)]
    return [f"settle the others: `fn({', '.join(names)}) => {text}({', '.join(given)})`"]


def _all_false(wanted: Type) -> list[str]:
    """Help for truth values that were to be filled with numbers."""
    if not isinstance(wanted, TensorType) or wanted.element is not DType.BOOL:
        return []
    sizes = [axis for axis in wanted.shape if isinstance(axis, Size)]
    if len(sizes) < len(wanted.shape) or len(sizes) > 6:
        return []
    indexes = [f"{name} in 0..{size}" for name, size in zip("ijklmn", sizes, strict=False)]
    return [f"write `[{', '.join(indexes)}] => false`" if sizes else "write `false`"]


def _without_stretch(context: Context, actual: TensorType, wanted: TensorType, span: Span) -> str:
    """What to write instead of `x[:, _]` where nothing stretches: an axis of one element."""
    text = context.quote(span)
    pairs = list(zip(reversed(actual.shape), reversed(wanted.shape), strict=False))
    is_one = all(
        isinstance(b, Size) and b.constant == 1 for a, b in pairs if isinstance(a, Stretch)
    )
    if is_one and len(pairs) == len(actual.shape) and text.endswith("]"):
        axes = ", ".join("1" if isinstance(a, Stretch) else str(a) for a in actual.shape)
        return f"make an axis of one element: `reshape[{axes}]({text[: text.rindex('[')]})`"
    return "combine it with an array that has the axis"


def _own(size: object, wanted: object) -> bool:
    """Whether a size has a name of its own where that of a parameter, as `net.N`, is wanted."""
    owner, dot, name = str(wanted).partition(".")
    return str(size).isidentifier() and bool(dot) and owner.isidentifier() and name.isidentifier()


def _tensor_mismatch(
    context: Context,
    actual: TensorType,
    wanted: TensorType,
    span: Span,
    subject: str,
    also: Sequence[tuple[Span, str]],
) -> Exception:
    if any(isinstance(axis, Stretch) for axis in actual.shape):
        return context.fail(
            "shape.stretch",
            "an axis made by `_` meets nothing to stretch to",
            span,
            str(actual),
            also,
            [_without_stretch(context, actual, wanted, span)],
        )
    if len(actual.shape) == len(wanted.shape):
        for a, b in zip(actual.shape, wanted.shape, strict=True):
            if same_axis(context.facts, a, b):
                continue
            text = f"{a} is not {b}"
            if isinstance(a, Size) and isinstance(b, Size):
                found = context.facts.equal(a, b).counterexample
                if found:
                    values = ", ".join(f"{n} = {v}" for n, v in found.items())
                    text = f"{a} is not {b} when {values}"
                if a.constant is not None and b.constant is not None:
                    text = f"{a} is not {b}"
            help_ = [f"write `{b}` for `{a}` in the head of the function"] if _own(a, b) else []
            return context.fail("shape.mismatch", subject, span, text, also, help_)
        if join(actual.element, wanted.element) is None:
            name = element_text(wanted.element)
            element = resolved(wanted.element)
            help_ = []
            if isinstance(element, DType) and not isinstance(resolved(actual.element), Number):
                help_ = [f"convert: `{name}({context.quote(span)})`"]
            return context.fail("type.mismatch", subject, span, str(actual), also, help_)
    return context.fail("shape.mismatch", subject, span, str(actual), also)
