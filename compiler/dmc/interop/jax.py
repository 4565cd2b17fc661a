"""Functions of dm inside JAX: a callback with a derivative rule of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dmc.api.conversion import refuse
from dmc.api.differentiate import function_of
from dmc.api.entry import Entry, tensor_type
from dmc.api.function import Function
from dmc.api.operators import Pushforward
from dmc.interop.extras import extra
from dmc.interop.wrapping import (
    ArrayCall,
    given_by_name,
    open_parameters,
    parts_of,
    refuse_record,
    spread_of,
)
from dmc.semantics.types import TensorType, TupleType, leaves
from dmc_runtime.records import Record

jax = extra("jax", "jax", "jax", "`dmc.jax`")
core = extra("jax.extend.core", "jax", "jax", "`dmc.jax`")
ad = extra("jax.interpreters.ad", "jax", "jax", "`dmc.jax`")
batching = extra("jax.interpreters.batching", "jax", "jax", "`dmc.jax`")
mlir = extra("jax.interpreters.mlir", "jax", "jax", "`dmc.jax`")


def wrap(f: Function, **fixed: Any) -> Callable[..., Any]:
    """A function of dm as one of JAX: arrays in and out, under all transforms.

    It takes the parameters that are not `fixed` by name (records, numbers that decide sizes), in
    order or by name. Of several results the first carries derivatives: of any order, in both modes.
    For f64 JAX needs `jax_enable_x64`.
    """
    function = function_of(f, "jax.wrap", None)
    names = open_parameters(function, fixed)

    def call(*values: Any, **named: Any) -> Any:
        by_name = given_by_name(function, names, values, named)
        given = {name: _array(function, name, by_name[name]) for name in names if name in by_name}

        def place(values: Sequence[Any]) -> dict[str, Any]:
            return {**dict(zip(given, values, strict=True)), **fixed}

        results = _call.bind(*given.values(), call=ArrayCall(function, tuple(given), place))
        return results[0] if len(results) == 1 else tuple(results)

    call.__name__ = function.__name__
    call.__doc__ = function.__doc__
    return call


_call = core.Primitive("dmc")
"""A call of dm. Its derivatives are such calls, and each is linear in its vector."""
_call.multiple_results = True


def _entry(call: ArrayCall, values: Sequence[Any]) -> Entry:
    """What is called, by the shapes of arrays."""
    function, named = call.bound([_plain(np.zeros(v.shape, v.dtype)) for v in values])
    return function.specialize(**named).entry


def _results(values: Sequence[Any], call: ArrayCall) -> list[Any]:
    """What is called, run."""
    function, named = call.bound([_plain(value) for value in values])
    return [np.asarray(part) for part in parts_of(function(**named), function, "jax.wrap")]


@_call.def_impl
def _run(*values: Any, call: ArrayCall) -> list[Any]:
    return [jax.numpy.asarray(part) for part in _results(values, call)]


@_call.def_abstract_eval
def _shapes(*values: Any, call: ArrayCall) -> list[Any]:
    entry = _entry(call, values)
    result = entry.result
    parts = result.items if isinstance(result, TupleType) else (result,)
    if not all(isinstance(part, TensorType) for part in parts):
        raise refuse_record(call.function, "jax.wrap")
    types = [tensor_type(leaf) for leaf in leaves(result)]
    return [jax.core.ShapedArray(t.shape, t.dtype.numpy) for t in types]


def _callback(*values: Any, call: ArrayCall) -> Any:
    def run(*values: Any) -> Any:
        return _results(values, call)

    shapes = [jax.ShapeDtypeStruct(s.shape, s.dtype) for s in _shapes(*values, call=call)]
    return jax.pure_callback(run, shapes, *values, vmap_method="sequential")


mlir.register_lowering(_call, mlir.lower_fun(_callback, multiple_results=True))


def _push(values: Sequence[Any], dots: Sequence[Any], *, call: ArrayCall) -> Any:
    """The results, and the tangents of those that are differentiated."""
    results = _call.bind(*values, call=call)
    entry = _entry(call, values)
    count = (spread_of(entry) or 1) if _is_floating(results[0]) else 0
    moved = [
        _is_floating(value) and not isinstance(dot, ad.Zero)
        for value, dot in zip(values, dots, strict=True)
    ]
    tangents: list[Any] = []
    if count and any(moved):
        along = [dot for dot, is_moved in zip(dots, moved, strict=True) if is_moved]
        tangents = _call.bind(*values, *along, call=call.pushed(moved, entry))
    still = [ad.Zero(part.aval.to_tangent_aval()) for part in results[len(tangents) :]]
    return results, [*tangents, *still]


def _transpose(bars: Sequence[Any], *values: Any, call: ArrayCall) -> list[Any]:
    """In the vector, by the other derivative of what the call is a derivative of."""
    assert call.base is not None
    base, operator = call.base, call.function.operators[-1]
    cut = len(base.paths)
    point, vector = values[:cut], values[cut:]
    entry = _entry(base, point)
    of = base.pulled if isinstance(operator, Pushforward) else base.pushed
    chosen = [path in call.wrt for path in base.paths]
    found = _call.bind(*point, *map(ad.instantiate_zeros, bars), call=of(chosen, entry))
    asked = [ad.is_undefined_primal(part) for part in vector]
    parts = [part if is_asked else None for part, is_asked in zip(found, asked, strict=True)]
    return [*(None for _ in point), *parts]


def _batch(values: Sequence[Any], axes: Sequence[int | None], *, call: ArrayCall) -> Any:
    """One call after the other."""
    pairs = list(zip(values, axes, strict=True))

    def each(chosen: Sequence[Any]) -> Any:
        rest = iter(chosen)
        whole = [value if axis is None else next(rest) for value, axis in pairs]
        return _call.bind(*whole, call=call)

    moving = [jax.numpy.moveaxis(value, axis, 0) for value, axis in pairs if axis is not None]
    results = jax.lax.map(each, moving)
    return results, [0] * len(results)


ad.primitive_jvps[_call] = _push
ad.primitive_transposes[_call] = _transpose
batching.primitive_batchers[_call] = _batch


def _is_floating(value: Any) -> bool:
    return bool(jax.numpy.issubdtype(value.dtype, jax.numpy.floating))


def _array(function: Function, name: str, value: Any) -> Any:
    """An argument as an array of JAX."""
    if isinstance(value, Record):
        message = f"dmc.jax.wrap: `{name}` is a record, which JAX does not know"
        hint = f"fix it by name: `dmc.jax.wrap({function.__name__}, {name}=…)`"
        raise refuse("call.value", message, function.checked.span, hint)
    return jax.numpy.asarray(value)


def _plain(value: Any) -> Any:
    """As NumPy has it; a number where there are no axes."""
    array = np.asarray(value)
    return array if array.ndim else array[()]
