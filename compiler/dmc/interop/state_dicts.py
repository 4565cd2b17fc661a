"""Weights of PyTorch modules in the layers of the standard library, which then give the same.

Each layer says where its parameters are in the state dict of its counterpart and how they lie
there: PyTorch has matrices as `[out, in]` and channels first, dm `[in, out]` and channels last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np

from dmc.api.records import declaration_of
from dmc.diagnostics.diagnostic import Diagnostic
from dmc.diagnostics.errors import Error, error
from dmc_runtime import STD_FOLDER
from dmc_runtime.records import Array, Record, Tree, constants_of, spec_of, stack, stack_of
from dmc_runtime.spelling import did_you_mean
from dmc_runtime.trees import Kind, build, children_of, kind_of, with_children

R = TypeVar("R", bound=Record)
Make: TypeAlias = Callable[..., Array]


@dataclass(frozen=True)
class Source:
    """A parameter made from tensors of the state dict; `lacking` fills it where there are none."""

    names: tuple[str, ...]
    make: Make = np.asarray
    lacking: float | None = None


def _axes(*order: int) -> Make:
    return partial(np.transpose, axes=order)


def _sum(first: Array, second: Array) -> Array:
    return first + second


def _slice(array: Array, part: int) -> Array:
    """That of queries, keys or values, which PyTorch has in one."""
    return np.split(array, 3)[part].T


Layer: TypeAlias = "Mapping[str, Source]"
"""Where the parameters of a layer come from, by their paths in it."""


def _inside(path: str, name: str, layer: Layer) -> dict[str, Source]:
    """The parameters of a layer at `path` in another, which PyTorch calls `name`."""
    return {
        f"{path}.{own}": replace(source, names=tuple(f"{name}.{n}" for n in source.names))
        for own, source in layer.items()
    }


_BIAS = Source(("bias",), lacking=0.0)
_MATRIX = {"w": Source(("weight",), np.transpose), "b": _BIAS}
_IMAGES = {"w": Source(("weight",), _axes(2, 3, 1, 0)), "b": _BIAS}
_SEQUENCES = {"w": Source(("weight",), _axes(2, 1, 0)), "b": _BIAS}
_GAIN = Source(("weight",), lacking=1.0)
_NORM = {"gain": _GAIN, "bias": _BIAS}
_BATCH_NORM = {
    **_NORM,
    "center": Source(("running_mean",)),
    "variance": Source(("running_var",)),
}


def _recurrent(suffix: str = "") -> dict[str, Source]:
    biases = (f"bias_ih_l0{suffix}", f"bias_hh_l0{suffix}")
    return {
        "wx": Source((f"weight_ih_l0{suffix}",), np.transpose),
        "wh": Source((f"weight_hh_l0{suffix}",), np.transpose),
        "b": Source(biases, _sum, 0.0),
    }


def _gru(suffix: str = "") -> dict[str, Source]:
    return {
        "wx": Source((f"weight_ih_l0{suffix}",), np.transpose),
        "wh": Source((f"weight_hh_l0{suffix}",), np.transpose),
        "bx": Source((f"bias_ih_l0{suffix}",), lacking=0.0),
        "bh": Source((f"bias_hh_l0{suffix}",), lacking=0.0),
    }


def _spectral(layer: Layer) -> dict[str, Source]:
    """A layer under `torch.nn.utils.parametrizations.spectral_norm`."""
    original = replace(layer["w"], names=("parametrizations.weight.original",))
    return {**layer, "w": original, "u": Source(("parametrizations.weight.0._u",))}


def _both_ways(ahead: Layer, back: Layer) -> dict[str, Source]:
    return {f"ahead.{n}": s for n, s in ahead.items()} | {f"back.{n}": s for n, s in back.items()}


_ATTENTION = {
    "wq": Source(("in_proj_weight",), partial(_slice, part=0)),
    "wk": Source(("in_proj_weight",), partial(_slice, part=1)),
    "wv": Source(("in_proj_weight",), partial(_slice, part=2)),
    "wo": Source(("out_proj.weight",), np.transpose),
    "bq": Source(("in_proj_bias",), partial(_slice, part=0), 0.0),
    "bv": Source(("in_proj_bias",), partial(_slice, part=2), 0.0),
    "bo": Source(("out_proj.bias",), lacking=0.0),
}
"""What PyTorch adds to keys changes all scores of a query by the same, and so no output."""
_WIDE = {
    "up": Source(("linear1.weight",), np.transpose),
    "up_bias": Source(("linear1.bias",), lacking=0.0),
    "down": Source(("linear2.weight",), np.transpose),
    "down_bias": Source(("linear2.bias",), lacking=0.0),
}
_BLOCK = {
    **_inside("norm1", "norm1", _NORM),
    **_inside("attention", "self_attn", _ATTENTION),
    **_inside("norm2", "norm2", _NORM),
    **_WIDE,
}

LAYERS: dict[str, Layer] = {
    "nn.layers.Linear": _MATRIX,
    "nn.layers.Embed": {"w": Source(("weight",))},
    "nn.layers.Bilinear": {"w": Source(("weight",)), "b": _BIAS},
    "nn.activations.PReLU": {"slope": Source(("weight",))},
    "nn.conv.Conv": _IMAGES,
    "nn.conv.Conv2": _IMAGES,
    "nn.conv.SameConv2": _IMAGES,
    "nn.conv.GroupedConv2": _IMAGES,
    "nn.conv.ConvTranspose2": {"w": Source(("weight",), _axes(2, 3, 0, 1)), "b": _BIAS},
    "nn.conv.Conv1": _SEQUENCES,
    "nn.conv.SameConv1": _SEQUENCES,
    "nn.conv.CausalConv1": _SEQUENCES,
    "nn.conv.GroupedConv1": _SEQUENCES,
    "nn.conv.ConvTranspose1": {"w": Source(("weight",), _axes(2, 0, 1)), "b": _BIAS},
    "nn.norm.LayerNorm": _NORM,
    "nn.norm.RMSNorm": {"gain": _GAIN},
    "nn.norm.GroupNorm": _NORM,
    "nn.norm.InstanceNorm": _NORM,
    "nn.norm.BatchNorm": _BATCH_NORM,
    "nn.norm.SpectralLinear": _spectral(_MATRIX),
    "nn.norm.SpectralConv1": _spectral(_SEQUENCES),
    "nn.norm.SpectralConv2": _spectral(_IMAGES),
    "nn.recurrent.RNN": _recurrent(),
    "nn.recurrent.LSTM": _recurrent(),
    "nn.recurrent.GRU": _gru(),
    "nn.recurrent.BiRNN": _both_ways(_recurrent(), _recurrent("_reverse")),
    "nn.recurrent.BiLSTM": _both_ways(_recurrent(), _recurrent("_reverse")),
    "nn.recurrent.BiGRU": _both_ways(_gru(), _gru("_reverse")),
    "nn.attention.Attention": _ATTENTION,
    "nn.transformer.Block": _BLOCK,
    "nn.transformer.DecoderBlock": {
        **_BLOCK,
        **_inside("crossing", "multihead_attn", _ATTENTION),
        **_inside("norm3", "norm3", _NORM),
    },
}
"""The layers that have a counterpart, by module and name."""

_UNUSED = ("num_batches_tracked", "_v")
"""What state dicts hold that no layer needs."""


def load_state(net: R, state: Mapping[str, Any], names: Mapping[str, str] | None = None) -> R:
    """`net` with the weights of a PyTorch module: `load_state(net, module.state_dict())`.

    Layers are found by their paths: `net.encoder.up` is `encoder.up` there, the i-th layer of a
    stack `layers` is `layers.i`, and parameters of your own models have the same name and shape.
    `names` gives other names for paths, as in `{"l1": "0", "l2": "2"}` for a `Sequential`. A bias
    that the module lacks is zero, a gain one. The n-th layer of a recurrent module is `lstm.n`.
    Raises dmc.Error for what is missing, left over, or of another shape.
    """
    loader = _Loader({name: _array(value) for name, value in state.items()}, names or {})
    loaded = cast("R", loader.record(net, "", ""))
    ignored = tuple(n for n in loader.state if n.rpartition(".")[2] in _UNUSED)
    left = [name for name in loader.state if name not in {*loader.used, *ignored}]
    if left:
        raise _refused(f"`{left[0]}` of the state dict has no place in {spec_of(net).name}")
    unknown = [path for path in loader.names if path not in loader.paths]
    if unknown:
        raise _refused(f"`names` has `{unknown[0]}`, which is no path of {spec_of(net).name}")
    return loaded


class _Loader:
    """Puts the arrays of one state dict into records."""

    def __init__(self, state: Mapping[str, Array], names: Mapping[str, str]) -> None:
        self.state = state
        self.names = names
        self.used: set[str] = set()
        self.paths: set[str] = set()

    def record(self, net: Record, path: str, prefix: str) -> Record:
        """`net`, which is at `path`, from what has `prefix` in the state dict."""
        if stack_of(net):
            items = [
                self.record(net[i], _joined(path, str(i)), self.prefix(path, prefix, str(i)))
                for i in range(stack_of(net)[0])
            ]
            return stack(items)
        layer = LAYERS.get(_library_name(net))
        if layer is not None:
            layer, prefix = self.of_stack(layer, prefix)
            return cast("Record", self.layer(net, layer, path, prefix, ""))
        values = [
            self.value(child, _joined(path, step[1:]), self.prefix(path, prefix, step[1:]))
            for step, child in children_of(net)
        ]
        return build(type(net), values, constants_of(net))

    def of_stack(self, layer: Layer, prefix: str) -> tuple[Layer, str]:
        """A recurrent layer of several, whose parameters PyTorch numbers: `lstm.weight_ih_l1`."""
        owner, _, index = prefix.rpartition(".")
        numbered = _joined(owner, f"weight_ih_l{index}")
        if not index.isdecimal() or numbered not in self.state:
            return layer, prefix
        return {
            name: replace(source, names=tuple(n.replace("_l0", f"_l{index}") for n in source.names))
            for name, source in layer.items()
        }, owner

    def prefix(self, path: str, prefix: str, step: str) -> str:
        """What the child `step` is called in the state dict."""
        here = _joined(path, step)
        self.paths.add(here)
        return self.names.get(here, _joined(prefix, step))

    def value(self, value: Tree, path: str, prefix: str) -> Tree:
        if isinstance(value, Record):
            return self.record(value, path, prefix)
        if kind_of(value) is not Kind.LEAF:
            return value
        return self.placed(value, self.array(prefix, path), path, prefix)

    def layer(self, value: Tree, layer: Layer, path: str, prefix: str, name: str) -> Tree:
        """The leaves of a layer of the library, from its table."""
        if isinstance(value, Record):
            parts = [
                self.layer(child, layer, path, prefix, _joined(name, step[1:]))
                for step, child in children_of(value)
            ]
            return with_children(value, parts)
        source = layer[name]
        there = [_joined(prefix, part) for part in source.names]
        here = _joined(path, name)
        if source.lacking is not None and not any(part in self.state for part in there):
            return np.full_like(np.asarray(value), source.lacking)
        array = source.make(*(self.array(part, here) for part in there))
        return self.placed(value, array, here, there[0])

    def array(self, name: str, path: str) -> Array:
        """An array of the state dict."""
        if name not in self.state:
            (hint,) = did_you_mean(name, self.state) or ("give its name in `names`",)
            raise _refused(f"`{path}` would be `{name}`, which the state dict lacks; {hint}")
        self.used.add(name)
        return self.state[name]

    def placed(self, old: Tree, array: Array, path: str, name: str) -> Array:
        """The array as the leaf that it replaces."""
        like = np.asarray(cast("Any", old))
        if array.shape != like.shape:
            shapes = f"{list(like.shape)}, and `{name}` gives {list(array.shape)}"
            raise _refused(f"`{path}` is {shapes}")
        return np.array(array, like.dtype, order="C")


def _library_name(record: Record) -> str:
    """The name of a class of the library, from its file on; nothing for one of the user's own."""
    declaration = declaration_of(type(record))
    path = Path("" if declaration is None else declaration.span.file.name)
    if not path.is_relative_to(STD_FOLDER):
        return ""
    return ".".join((*path.relative_to(STD_FOLDER).with_suffix("").parts, spec_of(record).name))


def _array(value: Any) -> Array:
    """A tensor as an array."""
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def _joined(path: str, step: str) -> str:
    return f"{path}.{step}" if path else step


def _refused(message: str) -> Error:
    return error(Diagnostic("call.value", f"dmc.torch.load_state: {message}", at_call=True))
