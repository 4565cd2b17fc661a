"""What the wrappers of PyTorch and JAX share: which parameters are open, what is given for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dmc.api.conversion import refuse
from dmc.api.function import Function


def open_parameters(function: Function, fixed: Mapping[str, Any]) -> list[str]:
    """The parameters that are not fixed by name. Raises dmc.Error for a name of none."""
    names = [parameter.name for parameter in function.checked.parameters]
    for name in fixed:
        if name not in names:
            message = f"{function.__name__}: there is no parameter `{name}` to fix"
            raise refuse("call.argument", message, function.checked.span, function.signature)
    return [name for name in names if name not in fixed]


def given_by_name(
    function: Function, names: Sequence[str], arguments: Sequence[Any], named: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments of a wrapped function by name; raises dmc.Error for too many, or one twice."""
    span = function.checked.span
    if len(arguments) > len(names):
        plural = "argument" if len(names) == 1 else "arguments"
        message = f"{function.__name__}: takes {len(names)} {plural}, {len(arguments)} were given"
        raise refuse("call.argument", message, span, f"in order: {', '.join(names) or 'none'}")
    given = dict(zip(names, arguments, strict=False))
    for name in named:
        if name in given or name not in names:
            how = "is given twice" if name in given else "is no parameter that is left open"
            raise refuse("call.argument", f"{function.__name__}: `{name}` {how}", span)
    return {**given, **named}


def refuse_record(function: Function, caller: str) -> Exception:
    """The error for a function whose results are records, which other libraries do not know."""
    message = f"dmc.{caller}: {function.__name__} gives a record"
    hint = "wrap a function that gives arrays, in a tuple if they are several"
    return refuse("call.value", message, function.checked.span, hint)
