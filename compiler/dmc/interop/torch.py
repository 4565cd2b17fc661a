"""Functions and models of dm inside PyTorch, and weights of PyTorch in layers of dm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from dmc.api.conversion import refuse
from dmc.api.differentiate import function_of
from dmc.api.function import Function
from dmc.api.operators import Pullback
from dmc.diagnostics.errors import DTypeError
from dmc.interop.extras import extra
from dmc.interop.state_dicts import load_state
from dmc.interop.wrapping import given_by_name, open_parameters, refuse_record
from dmc_runtime.arguments import shown
from dmc_runtime.flat import with_params
from dmc_runtime.leafwise import bfloat16, params
from dmc_runtime.records import Record, Tree, tree_leaves, tree_paths
from dmc_runtime.trees import Array

torch = extra("torch", "torch", "torch", "`dmc.torch`")

__all__ = ["Module", "load_state", "wrap"]


def wrap(f: Function, **fixed: Any) -> Callable[..., Any]:
    """A function of dm as one of PyTorch: tensors in and out, differentiable by autograd.

    It takes the parameters that are not `fixed` by name (records, numbers that decide sizes), in
    order or by name. Of several results the first carries gradients. Once differentiable; known to
    `torch.func.grad` and `vmap`.
    """
    function = function_of(f, "torch.wrap", None)
    names = open_parameters(function, fixed)

    def call(*arguments: Any, **named: Any) -> Any:
        given = given_by_name(function, names, arguments, named)
        return _apply(_Call(function, tuple(given), (), None, fixed), tuple(given.values()))

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

    def tensor(self, result: Any) -> Any:
        """A result as a new tensor."""
        if isinstance(result, Record):
            raise refuse_record(self.function, "torch.wrap")
        return _tensor(result)

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


class _Node(torch.autograd.Function):
    """What functions of dm are in the graph of PyTorch: their first input is not a tensor.

    Forward is given apart from `setup_context`, and runs on plain tensors, so that the transforms
    of `torch.func` know nodes; under `vmap` there is one call for each element of the batch.
    """

    @classmethod
    def each(cls, size: int, axes: Sequence[int | None], fixed: Any, values: Sequence[Any]) -> Any:
        """The node for each element of a batch, stacked."""
        results: list[Any] = []
        for index in range(size):
            chosen = zip(values, axes, strict=True)
            results.append(
                cls.apply(fixed, *(v if a is None else v.select(a, index) for v, a in chosen))
            )
        if not isinstance(results[0], tuple):
            return torch.stack(results), 0
        stacked: list[Any] = [torch.stack(parts) for parts in zip(*results, strict=True)]
        return tuple(stacked), (0,) * len(stacked)


class _Value(_Node):
    """A call of dm."""

    @staticmethod
    def forward(call: _Call, *values: Any) -> Any:
        try:
            result = call.function(**call.arguments([_numpy(value) for value in values]))
        except DTypeError:
            # Tells the same of the tensors themselves, in the terms of PyTorch.
            call.function(**call.arguments([_detached(value) for value in values]))
            raise
        if isinstance(result, tuple):
            return tuple([call.tensor(part) for part in cast("tuple[Any, ...]", result)])
        return call.tensor(result)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.call, *values = inputs
        ctx.kinds = [None if isinstance(value, torch.Tensor) else (value,) for value in values]
        ctx.save_for_backward(*(value for value in values if isinstance(value, torch.Tensor)))
        if isinstance(output, tuple):
            ctx.mark_non_differentiable(*cast("tuple[Any, ...]", output)[1:])

    @staticmethod
    def backward(ctx: Any, bar: Any, *_: Any) -> Any:
        tensors = iter(ctx.saved_tensors)
        values = [next(tensors) if kind is None else kind[0] for kind in ctx.kinds]
        needed = ctx.needs_input_grad[1:]
        found = iter(_Slope.apply((ctx.call, needed), bar, *values))
        return (None, *(next(found) if n else None for n in needed))

    @staticmethod
    def vmap(info: Any, axes: tuple[Any, ...], call: _Call, *values: Any) -> Any:
        return _Value.each(info.batch_size, axes[1:], call, values)


class _Slope(_Node):
    """The gradients of a call, of the values that need one."""

    @staticmethod
    def forward(how: tuple[_Call, Sequence[bool]], bar: Any, *values: Any) -> Any:
        call, needed = how
        found = call.gradients([_numpy(value) for value in values], needed, _numpy(bar))
        return tuple([_tensor(part) for part in found if part is not None])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.function = inputs[0][0].function

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        name = ctx.function.__name__
        message = f"{name}: a wrapped function is differentiated once in PyTorch"
        hint = f"wrap the gradient: `dmc.torch.wrap(dmc.grad(program.{name}))`"
        raise refuse("grad.order", message, ctx.function.checked.span, hint)

    @staticmethod
    def vmap(info: Any, axes: tuple[Any, ...], how: Any, *values: Any) -> Any:
        return _Slope.each(info.batch_size, axes[1:], how, values)


def _apply(call: _Call, values: Sequence[Any]) -> Any:
    return _Value.apply(call, *values)


def _numpy(value: Any) -> Any:
    """A tensor as an array in the same memory; a tensor without axes as a number."""
    if not isinstance(value, torch.Tensor):
        return value
    try:
        plain = value.detach().cpu().resolve_conj().resolve_neg()
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


def _names(f: Function) -> list[str]:
    return [parameter.name for parameter in f.checked.parameters]
