"""Functions and models of dm inside PyTorch, and weights of PyTorch in layers of dm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from dmc.api.differentiate import function_of
from dmc.api.function import Function
from dmc.api.operators import Pullback
from dmc.interop.extras import extra
from dmc.interop.state_dicts import load_state
from dmc_runtime.flat import with_params
from dmc_runtime.leafwise import bfloat16, params
from dmc_runtime.records import Record, Tree, tree_leaves, tree_paths
from dmc_runtime.trees import Array

torch = extra("torch", "torch", "torch", "`dmc.torch`")

__all__ = ["Module", "load_state", "wrap"]


def wrap(f: Function, **fixed: Any) -> Callable[..., Any]:
    """A function of dm as one of PyTorch: tensors in and out, differentiable by autograd.

    It takes the parameters that are not `fixed` by name (records, numbers that decide sizes), in
    order. Of several results the first carries gradients. Once differentiable.
    """
    function = function_of(f, "torch.wrap", None)
    names = [name for name in _names(function) if name not in fixed]

    def call(*arguments: Any) -> Any:
        given = names[: len(arguments)]
        return _apply(_Call(function, tuple(given), (), None, fixed), arguments)

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
        self._function = function_of(forward, "torch.Module", None)
        self._net = net
        trained = params(net)
        self._paths = [path.replace(".", "_") for path in tree_paths(trained)]
        for path, leaf in zip(self._paths, tree_leaves(trained), strict=True):
            self.register_parameter(path, torch.nn.Parameter(torch.tensor(np.array(leaf))))

    def forward(self, *arguments: Any) -> Any:
        """Call the function on the model as it is now."""
        names = tuple(_names(self._function)[: len(arguments) + 1])
        call = _Call(self._function, names, tuple(self._paths), self._net, {})
        return _apply(call, (*(getattr(self, path) for path in self._paths), *arguments))

    @property
    def record(self) -> Record:
        """The model with the module's parameters."""
        leaves = [_numpy(getattr(self, path)) for path in self._paths]
        return cast("Record", _placed(self._net, [np.array(leaf) for leaf in leaves]))


@dataclass(frozen=True)
class _Call:
    """How tensors become the arguments of a function: the leaves of `net` first, then the others.

    `names` are those of the parameters that are not fixed, that of `net` among them.
    """

    function: Function
    names: tuple[str, ...]
    leaves: tuple[str, ...]
    net: Record | None
    fixed: dict[str, Any]

    def arguments(self, values: Sequence[Any]) -> dict[str, Any]:
        count = len(self.leaves)
        head = [] if self.net is None else [_placed(self.net, values[:count])]
        return {**dict(zip(self.names, [*head, *values[count:]], strict=False)), **self.fixed}

    def owner(self, position: int) -> str:
        """The parameter that a tensor belongs to."""
        rest = position - len(self.leaves)
        return self.names[0] if rest < 0 else self.names[rest + (self.net is not None)]

    def gradients(self, values: Sequence[Any], needed: Sequence[bool], bar: Array) -> list[Any]:
        """A gradient for each value for which one is needed."""
        owners = [self.owner(position) for position in range(len(values))]
        wrt = tuple(dict.fromkeys(o for o, n in zip(owners, needed, strict=True) if n))
        pull = self.function.derived(Pullback(wrt)).with_extra(bar)
        pulled = pull(**self.arguments(values))
        of = dict(zip(wrt, cast("tuple[Any, ...]", pulled), strict=True))
        parts = {name: iter(tree_leaves(bars)) for name, bars in of.items()}
        found = [next(parts[owner]) if owner in parts else None for owner in owners]
        return [part if n else None for part, n in zip(found, needed, strict=True)]


class _Autograd(torch.autograd.Function):
    """A call of dm as a node of PyTorch's graph."""

    @staticmethod
    def forward(ctx: Any, call: _Call, *values: Any) -> Any:
        tensors = [value for value in values if isinstance(value, torch.Tensor)]
        ctx.call = call
        ctx.kinds = [None if isinstance(value, torch.Tensor) else (value,) for value in values]
        ctx.save_for_backward(*tensors)
        result = call.function(**call.arguments([_numpy(value) for value in values]))
        if not isinstance(result, tuple):
            return _tensor(result)
        first, *rest = map(_tensor, cast("tuple[Any]", result))
        ctx.mark_non_differentiable(*rest)
        return (first, *rest)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, bar: Any, *_: Any) -> Any:
        tensors = iter(ctx.saved_tensors)
        values = [_numpy(next(tensors) if kind is None else kind[0]) for kind in ctx.kinds]
        found = ctx.call.gradients(values, ctx.needs_input_grad[1:], _numpy(bar))
        return (None, *(None if g is None else _tensor(g) for g in found))


def _apply(call: _Call, values: Sequence[Any]) -> Any:
    return _Autograd.apply(call, *values)


def _numpy(value: Any) -> Any:
    """A tensor as an array in the same memory; a tensor without axes as a number."""
    if not isinstance(value, torch.Tensor):
        return value
    plain = value.detach().cpu()
    if plain.dtype == torch.bfloat16:
        array = plain.contiguous().view(torch.int16).numpy().view(bfloat16())
    else:
        array = np.asarray(plain.numpy(), order="C")
    return array if array.ndim else array[()]


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


def _names(f: Function) -> list[str]:
    return [parameter.name for parameter in f.checked.parameters]
