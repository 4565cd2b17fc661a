"""The differentiation operators: functions to functions with the same parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import index
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, cast, overload

import numpy as np

from dmc.api.donation import kept
from dmc.api.operators import Gradient, Jacobian, Pullback, Pushforward, Wrt, wrt_problem
from dmc_runtime.arguments import shown
from dmc_runtime.budget import NO_BUDGET, Budget, Keep
from dmc_runtime.sizes import parse_bytes
from dmc_runtime.trees import Array, tree_leaves

if TYPE_CHECKING:
    from dmc.api.function import Function
    from dmc.api.sparse import SparseJacobian


def grad(
    f: Function, wrt: Wrt = None, budget: Bytes = None, keep: KeepName | None = None
) -> Function:
    """The gradient of `f`, which returns a float, or a tuple whose first component is one.

    With a tuple the result is `(gradient, rest)`. Under a `budget`, bytes or a text such as
    `"256MB"`, values are computed again rather than kept, so that the memory of a call beside its
    arguments and results (`Memory.arena`) is no larger. The result is the same in every bit, unless
    values may be kept in fewer bits: in 16 with `keep="bf16"`, in 8 and a scale for each row with
    `keep="i8"` (`Memory.rounded`).
    """
    inner = function_of(f, "grad", wrt)
    return inner.derived(Gradient(wrt, budget=_budget(inner, budget, keep)))


def value_and_grad(
    f: Function, wrt: Wrt = None, budget: Bytes = None, keep: KeepName | None = None
) -> Function:
    """The result of `f` and its gradient: `(value, gradient)`; `budget`, `keep` as for `grad`."""
    inner = function_of(f, "value_and_grad", wrt)
    return inner.derived(Gradient(wrt, with_value=True, budget=_budget(inner, budget, keep)))


def jvp(f: Function, along: Any, wrt: Wrt = None, batch: bool = False) -> Function:
    """The result of `f` and its derivative along a direction: `(y, dy)` (forward mode).

    `along` has the structure and shapes of the gradient. With `batch`, its arrays have a leading
    axis for several directions at once, and so has `dy`.
    """
    inner = function_of(f, "jvp", wrt)
    return inner.derived(Pushforward(wrt, batch=_batch(inner, along, batch)), kept(along))


def hvp(f: Function, along: Any, wrt: Wrt = None, batch: bool = False) -> Function:
    """The Hessian of `f` times a vector, forward over reverse; `batch` as for `jvp`."""
    inner = function_of(f, "hvp", wrt)
    moved = Pushforward(wrt, with_value=False, batch=_batch(inner, along, batch))
    return inner.derived(Gradient(wrt)).derived(moved, kept(along))


def _batch(f: Function, vectors: Any, batch: bool) -> int | None:
    """How many vectors are stacked. Raises dmc.Error for what has no leading axis."""
    from dmc.diagnostics.diagnostic import Diagnostic
    from dmc.diagnostics.errors import error

    if not batch:
        return None
    first = next(iter(tree_leaves(vectors)), 0.0)
    if np.ndim(first) == 0:
        title = f"{f.checked.name}: with `batch=True` vectors are stacked along a leading axis"
        hint = "give arrays of one axis more, or leave `batch` out"
        raise error(Diagnostic("call.value", title, help=(hint,), at_call=True))
    return len(cast("Array", first))


@overload
def jacobian(f: Function, wrt: Wrt = None, sparse: Literal[False] = False) -> Function: ...
@overload
def jacobian(f: Function, wrt: Wrt = None, *, sparse: Literal[True]) -> SparseJacobian: ...
def jacobian(f: Function, wrt: Wrt = None, sparse: bool = False) -> Function | SparseJacobian:
    """The Jacobian of an array-valued `f`: a gradient with the axes of the result in front.

    A `sparse` one is a SciPy matrix in CSR form: rows for the elements of the result, columns for
    those of what is differentiated in. It takes a pass for each colour, not for each element.
    """
    inner = function_of(f, "jacobian", wrt)
    if not sparse:
        return inner.derived(Jacobian(wrt))
    from dmc.api.sparse import SparseJacobian

    return SparseJacobian(inner, wrt)


@overload
def hessian(f: Function, wrt: Wrt = None, sparse: Literal[False] = False) -> Function: ...
@overload
def hessian(f: Function, wrt: Wrt = None, *, sparse: Literal[True]) -> SparseJacobian: ...
def hessian(f: Function, wrt: Wrt = None, sparse: bool = False) -> Function | SparseJacobian:
    """The Hessian of `f` in one array parameter; `sparse` as of `jacobian`."""
    inner = function_of(f, "hessian", wrt)
    if not sparse:
        return inner.derived(Gradient(wrt)).derived(Jacobian(wrt))
    from dmc.api.sparse import SparseJacobian

    return SparseJacobian(inner, wrt, is_symmetric=True)


class Vjp:
    """The result of a function together with the pullback of cotangents (reverse mode)."""

    def __init__(self, f: Function, wrt: Wrt, budget: Budget) -> None:
        self._value = f
        self._pull = f.derived(Pullback(wrt, budget))
        self.__doc__ = f.__doc__

    def __call__(self, /, *arguments: Any, **named: Any) -> tuple[Any, Pulled]:
        """Run the function: `(y, pull)`. What is given now may be changed or donated later."""
        # Donated arrays are written over by the value, so what `pull` needs is kept before.
        keep = partial(kept, is_donated="donate" in named)
        point = tuple(map(keep, arguments))
        names = {name: keep(value) for name, value in named.items() if name != "donate"}
        return self._value(*arguments, **named), Pulled(self._value, self._pull, point, names)


class Pulled:
    """`pull(dy)`: the gradient to which the cotangent `dy` of the result is pulled back.

    With `batch=True`, the arrays of `dy` have a leading axis for several cotangents at once, and so
    have those of the gradient. Each call runs the function forward again, in the same native call
    as the reverse pass.
    """

    def __init__(
        self, f: Function, pull: Function, arguments: Sequence[Any], named: Mapping[str, Any]
    ) -> None:
        self._function = f
        self._pull = pull
        self._arguments = arguments
        self._named = named

    def __call__(self, cotangent: Any, batch: bool = False) -> Any:
        pull = self._pull
        if batch:
            operator = cast("Pullback", pull.operators[-1])
            count = _batch(self._function, cotangent, batch)
            pull = self._function.derived(replace(operator, batch=count))
        return pull.with_extras(cotangent)(*self._arguments, **self._named)


def vjp(f: Function, wrt: Wrt = None, budget: Bytes = None, keep: KeepName | None = None) -> Vjp:
    """A function that gives `(y, pull)`; `pull(dy)` is a gradient; the rest as for `grad`."""
    inner = function_of(f, "vjp", wrt)
    return Vjp(inner, wrt, _budget(inner, budget, keep))


_MOST = 1 << 62

Bytes = str | SupportsIndex | None
"""Bytes, as a number or a text with a unit; None is no bound."""

KeepName = Literal["bf16", "i8"]
"""How values that wait may be kept."""


def _budget(f: Function, budget: Bytes, keep: KeepName | None) -> Budget:
    """What is asked for. Raises dmc.Error for what is no budget, or nothing to keep values as."""
    from dmc.diagnostics.diagnostic import Diagnostic
    from dmc.diagnostics.errors import error

    count, problem, hint = _bytes(f, budget), "", ""
    if keep is not None and keep not in (Keep.BF16, Keep.I8):
        problem = f"`keep` is {shown(keep)}, which is no way to keep values"
        hint = 'write `keep="bf16"` or `keep="i8"`'
    elif keep is not None and not count:
        problem = "`keep` says how values are kept under a budget, and there is none"
        hint = f'write `budget="256MB", keep="{keep}"`'
    if problem:
        title = f"{f.checked.name}: {problem}"
        raise error(Diagnostic("grad.budget", title, help=(hint,), at_call=True))
    return Budget(count, Keep(keep or Keep.WHOLE)) if count else NO_BUDGET


def _bytes(f: Function, budget: Bytes) -> int:
    """The bytes of a budget, 0 for none. Raises dmc.Error for what is none."""
    from dmc.diagnostics.diagnostic import Diagnostic
    from dmc.diagnostics.errors import error

    if budget is None:
        return 0
    try:
        if isinstance(budget, bool | float):
            raise ValueError('write bytes as an integer, or a text such as "256MB"')
        count = parse_bytes(budget) if isinstance(budget, str) else index(budget)
        if count < 1:
            raise ValueError('it is at least one byte, as in "256MB"')
    except (ValueError, TypeError) as failure:
        hint = str(failure) if isinstance(failure, ValueError) else 'write "256MB" or 256_000_000'
        title = f"{f.checked.name}: `budget` is {shown(budget)}, which is no amount of memory"
        raise error(Diagnostic("grad.budget", title, help=(hint,), at_call=True)) from None
    return min(count, _MOST)


def function_of(f: object, operator: str, wrt: Wrt) -> Function:
    """What is differentiated. Raises dmc.Error unless `f` and `wrt` are what they may be."""
    # The compiler itself is loaded with the first program.
    from dmc.api.function import Function
    from dmc.diagnostics.diagnostic import Diagnostic
    from dmc.diagnostics.errors import error

    if isinstance(f, Function):
        require_wrt(f, wrt)
        return f
    name = cast("str | None", getattr(f, "__name__", None))
    kind = f"`{name}`, a Python function" if name else f"a {type(f).__name__}"
    title = f"`dmc.{operator}` takes a function of a loaded program, not {kind}"
    raise error(Diagnostic("call.value", title, at_call=True))


def require_wrt(f: Function, wrt: Wrt) -> None:
    """Raise dmc.Error unless `wrt` is a name, a path, a tuple of them, or None."""
    from dmc.diagnostics.diagnostic import Diagnostic, Label
    from dmc.diagnostics.errors import error

    problem = wrt_problem(wrt, [parameter.name for parameter in f.checked.parameters])
    if problem is not None:
        message, hint = problem
        title, label = f"{f.checked.name}: {message}", Label(f.checked.span)
        raise error(Diagnostic("grad.wrt", title, label, help=(hint,), at_call=True))
