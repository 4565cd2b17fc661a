"""Functions of dm inside JAX: a callback with a derivative rule of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from dmc.api.conversion import refuse
from dmc.api.differentiate import function_of
from dmc.api.entry import tensor_type
from dmc.api.function import Function
from dmc.api.operators import Pullback
from dmc.interop.extras import extra
from dmc.interop.wrapping import given_by_name, open_parameters, refuse_record
from dmc.semantics.types import TensorType, TupleType, Type, leaves
from dmc_runtime.records import Record
from dmc_runtime.trees import tree_leaves

jax = extra("jax", "jax", "jax", "`dmc.jax`")


def wrap(f: Function, **fixed: Any) -> Callable[..., Any]:
    """A function of dm as one of JAX: arrays in and out, under `jit`, `vmap` and `grad`.

    It takes the parameters that are not `fixed` by name (records, numbers that decide sizes), in
    order or by name. Of several results the first carries gradients, in reverse mode, once. For f64
    JAX needs `jax_enable_x64`.
    """
    function = function_of(f, "jax.wrap", None)
    names = open_parameters(function, fixed)

    def arguments(values: Sequence[Any]) -> dict[str, Any]:
        return {**dict(zip(names, map(_plain, values), strict=False)), **fixed}

    def run(*values: Any) -> Any:
        result = function(**arguments(values))
        several = isinstance(result, tuple)
        parts = cast("tuple[Any, ...]", result) if several else (result,)
        return tuple(np.asarray(part) for part in parts)

    def outputs(values: Sequence[Any]) -> Any:
        """The shapes of the results, and whether there are several."""
        stand_ins = [np.zeros(np.shape(value), value.dtype) for value in values]
        entry = function.specialize(**arguments(stand_ins)).entry
        if not all(isinstance(part, TensorType) for part in _parts(entry.result)):
            raise refuse_record(function, "jax.wrap")
        types = [tensor_type(leaf) for leaf in leaves(entry.result)]
        shapes = tuple(jax.ShapeDtypeStruct(t.shape, t.dtype.numpy) for t in types)
        return shapes, entry.has_auxiliary

    @jax.custom_vjp
    def primitive(*values: Any) -> Any:
        return jax.pure_callback(run, outputs(values)[0], *values, vmap_method="sequential")

    def forward(*values: Any) -> Any:
        return primitive(*values), values

    def backward(values: Sequence[Any], bars: Sequence[Any]) -> Any:
        floating = jax.numpy.floating
        trained = [i for i, v in enumerate(values) if jax.numpy.issubdtype(v.dtype, floating)]
        if not trained:
            return (None,) * len(values)
        pull = function.derived(Pullback(tuple(names[i] for i in trained)))

        def pulled(bar: Any, *values: Any) -> Any:
            found = pull.with_extra(_plain(bar))(**arguments(values))
            return tuple(np.asarray(part) for part in tree_leaves(found))

        shapes = tuple(jax.ShapeDtypeStruct(values[i].shape, values[i].dtype) for i in trained)
        found = jax.pure_callback(pulled, shapes, bars[0], *values, vmap_method="sequential")
        of = dict(zip(trained, found, strict=True))
        return tuple(of.get(i) for i in range(len(values)))

    primitive.defvjp(forward, backward)

    def call(*values: Any, **named: Any) -> Any:
        by_name = given_by_name(function, names, values, named)
        given = tuple(_array(function, name, by_name[name]) for name in names if name in by_name)
        first, *rest = primitive(*given)
        if not outputs(given)[1]:
            return first
        return (first, *map(jax.lax.stop_gradient, rest))

    call.__name__ = function.__name__
    call.__doc__ = function.__doc__
    return call


def _parts(result: Type) -> tuple[Type, ...]:
    return result.items if isinstance(result, TupleType) else (result,)


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
