"""Functions and models of dm inside PyTorch, and weights of PyTorch in layers of dm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from dmc.api.conversion import refuse
from dmc.api.differentiate import function_of
from dmc.api.entry import Entry
from dmc.api.function import Function
from dmc.diagnostics.errors import DTypeError
from dmc.interop.extras import extra
from dmc.interop.state_dicts import load_state
from dmc.interop.wrapping import (
    ArrayCall,
    given_by_name,
    open_parameters,
    parts_of,
    spread_of,
)
from dmc_runtime.arguments import shown
from dmc_runtime.flat import with_params
from dmc_runtime.leafwise import bfloat16, params
from dmc_runtime.records import Record, Tree, tree_leaves, tree_paths

torch = extra("torch", "torch", "torch", "`dmc.torch`")

__all__ = ["Module", "load_state", "wrap"]


def wrap(f: Function, **fixed: Any) -> Callable[..., Any]:
    """A function of dm as one of PyTorch: tensors in and out, differentiable by autograd.

    It takes the parameters that are not `fixed` by name (records, numbers that decide sizes), in
    order or by name. Of several results the first carries derivatives: of any order, backward and
    forward, and under the transforms of `torch.func`.
    """
    function = function_of(f, "torch.wrap", None)
    names = open_parameters(function, fixed)

    def call(*arguments: Any, **named: Any) -> Any:
        given = given_by_name(function, names, arguments, named)
        paths = tuple(given)
        wrapped = ArrayCall(
            function, paths, lambda v: {**dict(zip(paths, v, strict=True)), **fixed}
        )
        return _result(_apply(wrapped, tuple(given.values())))

    call.__name__ = function.__name__
    call.__doc__ = function.__doc__
    return call


class Module(torch.nn.Module):
    """A model of dm as a module, with the model's parameters as its own.

    State and frozen fields of the model stay as they are. `record` is the model as it is now.
    """

    def __init__(self, net: Record, f: Function | None = None) -> None:
        """The module computes `f(net, …)`, or the `forward` of the model."""
        torch.nn.Module.__init__(self)
        forward: object = getattr(type(net), "forward", None) if f is None else f
        if forward is None or not isinstance(cast("object", net), Record):
            message = f"dmc.torch.Module: {shown(net)} is no model with a `forward`"
            hint = "make a model, as in `Net.init(dmc.key(0), …)`, or give a function of the record"
            raise refuse("call.value", message, None, hint)
        self._function = function_of(forward, "torch.Module", None)
        self._net = net
        trained = params(net)
        self._paths = [path.replace(".", "_") for path in tree_paths(trained)]
        for path, leaf in zip(self._paths, tree_leaves(trained), strict=True):
            self.register_parameter(path, torch.nn.Parameter(torch.tensor(np.array(leaf))))

    def forward(self, *arguments: Any, **named: Any) -> Any:
        """Call the function on the model as it is now."""
        first, *names = [parameter.name for parameter in self._function.checked.parameters]
        given = given_by_name(self._function, names, arguments, named)
        inner, count = tree_paths(params(self._net)), len(self._paths)

        def place(values: Sequence[Any]) -> dict[str, Any]:
            net = _placed(self._net, values[:count])
            return {first: net, **dict(zip(given, values[count:], strict=True))}

        call = ArrayCall(self._function, (*(f"{first}.{path}" for path in inner), *given), place)
        weights = (getattr(self, path) for path in self._paths)
        return _result(_apply(call, (*weights, *given.values())))

    @property
    def record(self) -> Record:
        """The model with the module's parameters."""
        leaves = [_numpy(getattr(self, path)) for path in self._paths]
        return cast("Record", _placed(self._net, [np.array(leaf) for leaf in leaves]))


class _Applied:
    """A call that PyTorch knows as a node, and what it is, as soon as it has run."""

    def __init__(self, call: ArrayCall) -> None:
        self.call = call
        self._entry: Entry | None = None

    @property
    def entry(self) -> Entry:
        assert self._entry is not None
        return self._entry

    @property
    def differentiated(self) -> int:
        """How many of the results, from the first, have derivatives."""
        return spread_of(self.entry) or 1

    def run(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """The results as new tensors."""
        function, named = self.call.bound(values)
        compiled, given = function.prepared((), named)
        self._entry = compiled.entry
        parts = parts_of(compiled.run(given), function, "torch.wrap")
        return tuple([_tensor(part) for part in parts])


class _Node(torch.autograd.Function):
    """What functions of dm are in the graph of PyTorch: their first input is not a tensor.

    Derivatives are nodes as well, so that they have derivatives. Forward is given apart from
    `setup_context`, and runs on plain tensors, so that the transforms of `torch.func` know nodes;
    under `vmap` there is one call for each element of the batch.
    """

    @staticmethod
    def forward(applied: _Applied, *values: Any) -> Any:
        try:
            return applied.run([_numpy(value) for value in values])
        except DTypeError:
            # Tells the same of the tensors themselves, in the terms of PyTorch.
            applied.run([_detached(value) for value in values])
            raise

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.applied, *values = inputs
        ctx.kinds = [None if isinstance(value, torch.Tensor) else (value,) for value in values]
        tensors = [value for value in values if isinstance(value, torch.Tensor)]
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)
        ctx.results = len(output)
        ctx.mark_non_differentiable(*output[ctx.applied.differentiated :])

    @staticmethod
    def backward(ctx: Any, *bars: Any) -> Any:
        applied, needed = ctx.applied, ctx.needs_input_grad[1:]
        call = applied.call.pulled(needed, applied.entry)
        found = iter(_apply(call, (*_Node.given(ctx), *bars[: applied.differentiated])))
        return (None, *(next(found) if n else None for n in needed))

    @staticmethod
    def jvp(ctx: Any, _: None, *dots: Any) -> Any:
        applied, moved = ctx.applied, [dot is not None for dot in dots]
        call = applied.call.pushed(moved, applied.entry)
        along = [dot for dot in dots if dot is not None]
        found = _apply(call, (*_Node.given(ctx), *along))
        return (*found, *(None for _ in range(ctx.results - len(found))))

    @staticmethod
    def given(ctx: Any) -> list[Any]:
        """What the node was given, from what it has kept."""
        tensors = iter(ctx.saved_tensors)
        return [next(tensors) if kind is None else kind[0] for kind in ctx.kinds]

    @staticmethod
    def vmap(info: Any, axes: tuple[Any, ...], applied: _Applied, *values: Any) -> Any:
        results: list[Any] = []
        for index in range(info.batch_size):
            chosen = zip(values, axes[1:], strict=True)
            each = (value if a is None else value.select(a, index) for value, a in chosen)
            results.append(_Node.apply(applied, *each))
        stacked: list[Any] = [torch.stack(parts) for parts in zip(*results, strict=True)]
        return tuple(stacked), (0,) * len(stacked)


def _apply(call: ArrayCall, values: Sequence[Any]) -> tuple[Any, ...]:
    return _Node.apply(_Applied(call), *values)


def _result(results: tuple[Any, ...]) -> Any:
    """One result for itself, several in a tuple."""
    return results[0] if len(results) == 1 else results


def _numpy(value: Any) -> Any:
    """A tensor as an array in the same memory; a tensor without axes as a number."""
    if not isinstance(value, torch.Tensor):
        return value
    try:
        plain = value.detach().cpu().resolve_conj().resolve_neg()
        # A tangent that is zero may have no memory until it is copied.
        plain = plain.clone() if plain._is_zerotensor() else plain
        plain = plain if plain.dtype == torch.bfloat16 else plain.numpy()
    except (RuntimeError, TypeError) as failure:
        kind = str(value.layout).removeprefix("torch.")
        message = f"a tensor ({kind}, on {value.device.type}) is no array of numbers: {failure}"
        raise refuse("call.value", message, None, "pass a dense tensor with its data") from None
    if isinstance(plain, torch.Tensor):
        array = plain.contiguous().view(torch.int16).numpy().view(bfloat16())
    else:
        array = np.asarray(plain, order="C")
    return array if array.ndim else array[()]


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, torch.Tensor) else value


def _tensor(value: Any) -> Any:
    """A new tensor of the elements of an array or number."""
    array = np.array(value)
    if array.dtype.name == "bfloat16":
        return torch.as_tensor(array.view(np.int16)).view(torch.bfloat16)
    return torch.as_tensor(array)


def _placed(net: Record, leaves: Sequence[Any]) -> Tree:
    """The model with other parameters, in order."""
    fresh = [
        np.asarray(leaf).reshape(np.shape(old)) if isinstance(old, np.ndarray) else leaf
        for leaf, old in zip(leaves, tree_leaves(params(net)), strict=True)
    ]
    return with_params(net, iter(fresh))
