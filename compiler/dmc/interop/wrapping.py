"""What the wrappers of PyTorch and JAX share: which parameters are open, what is given for them.

And calls as those libraries know them: from arrays to arrays, with such calls as derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from dmc.api.conversion import PythonValue, refuse
from dmc.api.entry import Entry, fresh
from dmc.api.function import Function
from dmc.api.operators import Operator, Pullback, Pushforward
from dmc.semantics.types import TupleType
from dmc_runtime.records import Record


@dataclass(frozen=True)
class ArrayCall:
    """A function of dm or a derivative of one, as a function of arrays.

    The first arrays are those at the paths `own`, of which `place` makes the arguments. The others
    are the leaves of the vector that the last operator takes, behind the arrays of the call it is a
    derivative of, `base`: of a tuple, or one array that stands for itself.
    """

    function: Function
    own: tuple[str, ...]
    place: Callable[[Sequence[Any]], dict[str, PythonValue]]
    vector: tuple[str, ...] | str = ()
    base: ArrayCall | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """Of each array, the path in what the function is differentiated in."""
        if self.base is None:
            return self.own
        return (
            *self.base.paths,
            *((self.vector,) if isinstance(self.vector, str) else self.vector),
        )

    @property
    def wrt(self) -> tuple[str, ...]:
        """What the last operator differentiates in."""
        operator = self.function.operators[-1]
        assert isinstance(operator, Pullback | Pushforward)
        assert isinstance(operator.wrt, tuple)
        return operator.wrt

    def bound(self, values: Sequence[Any]) -> tuple[Function, dict[str, PythonValue]]:
        """The function with the vectors that its operators take, and its arguments."""
        vectors: list[PythonValue] = []
        rest, call = list(values), self
        while call.base is not None:
            cut = len(call.base.paths)
            rest, vector = rest[:cut], rest[cut:]
            vectors.insert(0, vector[0] if isinstance(call.vector, str) else tuple(vector))
            call = call.base
        function = self.function.with_extras(*vectors) if vectors else self.function
        return function, self.place(rest)

    def pulled(self, chosen: Sequence[bool], entry: Entry) -> ArrayCall:
        """The gradients in the chosen arrays; the vector is one of cotangents."""
        return self._derived(Pullback(self._chosen(chosen)), "cotangent", spread_of(entry), entry)

    def pushed(self, chosen: Sequence[bool], entry: Entry) -> ArrayCall:
        """The tangents of what is differentiated; the vector is one of the chosen arrays'."""
        wrt = self._chosen(chosen)
        return self._derived(Pushforward(wrt, with_value=False), "along", len(wrt), entry)

    def _chosen(self, chosen: Sequence[bool]) -> tuple[str, ...]:
        return tuple(path for path, is_chosen in zip(self.paths, chosen, strict=True) if is_chosen)

    def _derived(
        self, operator: Operator, name: str, spread: int | None, entry: Entry
    ) -> ArrayCall:
        name = fresh(name, [taken for taken, _ in entry.parameters])
        vector = name if spread is None else tuple(f"{name}.{place}" for place in range(spread))
        return ArrayCall(self.function.derived(operator), self.own, self.place, vector, self)


def spread_of(entry: Entry) -> int | None:
    """How many results are differentiated; None where that is the first, and no tuple."""
    return len(entry.primary.items) if isinstance(entry.primary, TupleType) else None


def parts_of(result: PythonValue, function: Function, caller: str) -> tuple[Any, ...]:
    """The results of a call, one by one. Raises dmc.Error for records, which only dm knows."""
    parts = cast("tuple[Any, ...]", result) if isinstance(result, tuple) else (result,)
    if any(isinstance(part, Record | tuple) for part in parts):
        raise refuse_record(function, caller)
    return parts


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
    """The error for a function whose results are no arrays, which is all that others know."""
    message = f"dmc.{caller}: {function.__name__} gives a record"
    hint = "wrap a function that gives arrays, in a tuple if they are several"
    return refuse("call.value", message, function.checked.span, hint)
