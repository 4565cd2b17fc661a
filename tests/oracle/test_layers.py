"""Layers of the library against PyTorch: values, and gradients in parameters and inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest

import dmc
from dmc_runtime.trees import tree_map
from tests.oracle.peers import HERE, all_close, close, torch

pytestmark = pytest.mark.oracle
LIBRARY = dmc.load(HERE / "layers.dm")
F: Any = torch.nn.functional
RNG = np.random.default_rng


def layer(name: str) -> Any:
    """One with parameters that are all unlike each other, for the first parameter of a function."""
    declared = getattr(LIBRARY, name).checked.parameters[0].type
    sizes = [int(str(size)) for size in declared.arguments[:-1]]  # the last is the element type
    made = getattr(LIBRARY, declared.declaration.name)
    net, rng = made.init[(*sizes, np.float64)](dmc.key(1)), RNG(1)
    return tree_map(lambda leaf: leaf + 0.3 * rng.standard_normal(np.shape(leaf)), net)


def held(name: str, function: Callable[..., Any], inputs: Sequence[Any], *rest: Any) -> None:
    """`function(*inputs, *rest, **parameters)` in PyTorch is the layer or function `name`."""
    call = getattr(LIBRARY, name)
    is_layer = call.checked.parameters[0].name == "l"
    given = ([layer(name)] if is_layer else []) + list(inputs)
    leaves = dict(given[0].items()) if is_layer else {}
    tensors = [torch.tensor(x, requires_grad=True) for x in inputs]
    parameters = {
        n.replace(".", "_"): torch.tensor(p, requires_grad=True) for n, p in leaves.items()
    }
    wanted = function(*tensors, *(torch.tensor(r) for r in rest), **parameters)
    weights = RNG(3).standard_normal(tuple(wanted.shape))
    active = [*tensors, *parameters.values()]
    gradients = torch.autograd.grad((wanted * torch.tensor(weights)).sum(), active)
    wrt = tuple(p.name for p in call.checked.parameters[: len(given)])
    value, pull = dmc.vjp(call, wrt=wrt)(*given, *rest)
    close(value, wanted.detach().numpy(), 1e-11)
    found = pull(weights)
    of_inputs = found[1:] if is_layer else found
    for mine, other, n in zip(of_inputs, gradients, wrt[is_layer:], strict=False):
        close(mine, other.numpy(), 1e-10, n)
    if is_layer:
        of_layer = {n: g.numpy() for n, g in zip(leaves, gradients[len(tensors) :], strict=True)}
        all_close(found[0], of_layer, 1e-10)


def images(*shape: int) -> Any:
    return RNG(2).standard_normal(shape or (2, 9, 8, 4))


def first(x: Any) -> Any:
    """Channels first, where dmc has them last."""
    return x.movedim(-1, 1)


def last(x: Any) -> Any:
    return x.movedim(1, -1)


def conv2(x: Any, w: Any, b: Any = None, **how: Any) -> Any:
    return last(F.conv2d(first(x), w.permute(3, 2, 0, 1), b, **how))


def conv1(x: Any, w: Any, b: Any, **how: Any) -> Any:
    return last(F.conv1d(first(x), w.permute(2, 1, 0), b, **how))


def transposed(x: Any, w: Any, b: Any) -> Any:
    return last(F.conv_transpose2d(first(x), w.permute(2, 3, 0, 1), b, 2, 1))


def test_convolutions_of_images() -> None:
    held("conv2", lambda x, w, b: conv2(x, w, b, stride=2, padding=1), [images()])
    kernel = RNG(4).standard_normal((3, 2, 4, 5))
    held("dilated", lambda x, w: conv2(x, w, dilation=2), [images(), kernel])
    held("grouped", lambda x, w, b: conv2(x, w, b, padding=1, groups=2), [images()])
    depthwise = {"stride": 2, "padding": 1, "groups": 4}
    held("depthwise", lambda x, w, b: conv2(x, w, b, **depthwise), [images()])
    held("transposed", transposed, [images()])
    # Five windows of 4 with stride 2 need three more rows than 9: the larger half comes behind.
    held("same2", lambda x, w, b: conv2(ahead(x, 1, 2, 1, 1), w, b, stride=2), [images()])


def ahead(x: Any, top: int, bottom: int, left: int, right: int) -> Any:
    return F.pad(x, (0, 0, left, right, top, bottom))


def test_convolutions_of_sequences() -> None:
    x = images(2, 11, 4)
    held("conv1", lambda x, w, b: conv1(x, w, b, stride=2, padding=2), [x])
    before = torch.zeros(2, 4, 4, dtype=torch.float64)
    held("causal1", lambda x, w, b: conv1(torch.cat([before, x], 1), w, b, dilation=2), [x])
    held("same1", lambda x, w, b: conv1(F.pad(x, (0, 0, 3, 3)), w, b, dilation=2), [x])
    held("grouped1", lambda x, w, b: conv1(x, w, b, groups=2), [x])

    def transposed1(x: Any, w: Any, b: Any) -> Any:
        return last(F.conv_transpose1d(first(x), w.permute(1, 2, 0), b, 2, 1))

    held("transposed1", transposed1, [x])


def test_pooling() -> None:
    held("max_pool", lambda x: last(F.max_pool2d(first(x), 3, 2)), [images()])
    held("avg_pool", lambda x: last(F.avg_pool2d(first(x), 3, 2)), [images()])
    held("adaptive", lambda x: last(F.adaptive_avg_pool2d(first(x), (4, 3))), [images()])
    held("adaptive_max", lambda x: last(F.adaptive_max_pool2d(first(x), (4, 3))), [images()])
    held("global", lambda x: torch.cat([x.mean((1, 2)), x.amax((1, 2))], 1), [images()])

    def pools1(x: Any) -> Any:
        c = first(x)
        parts = F.max_pool1d(c, 3, 2), F.avg_pool1d(c, 3, 2)
        adaptive = F.adaptive_avg_pool1d(c, 4), F.adaptive_max_pool1d(c, 4)
        whole = x.mean(1, keepdim=True), x.amax(1, keepdim=True)
        return torch.cat([*map(last, (*parts, *adaptive)), *whole], 1)

    held("pools1", pools1, [images(2, 9, 4)])


def test_normalisation() -> None:
    def group_norm(x: Any, gain: Any, bias: Any) -> Any:
        return last(F.group_norm(first(x), 2, gain, bias))

    def instance_norm(x: Any, gain: Any, bias: Any) -> Any:
        return last(F.instance_norm(first(x), weight=gain, bias=bias))

    held("group_norm", group_norm, [images()])
    held("instance_norm", instance_norm, [images()])
    held("instance_norm1", instance_norm, [images(2, 9, 4)])

    def group_norms(x: Any, gain: Any, bias: Any) -> Any:
        alone = group_norm(x.reshape(-1, 4), gain, bias).reshape(x.shape)
        return torch.cat([group_norm(x, gain, bias), alone], 1)

    held("group_norms", group_norms, [images(2, 9, 4)])
    held("rms_norm", lambda x, gain: F.rms_norm(x, (4,), gain, 1e-6), [images(9, 4)])


def test_batch_norm() -> None:
    mine, x = layer("batch_norm"), images()
    other = torch.nn.BatchNorm2d(4, dtype=torch.float64)
    state = {"weight": mine.gain, "bias": mine.bias}
    state |= {"running_mean": mine.center, "running_var": mine.variance}
    other.load_state_dict({n: torch.tensor(v) for n, v in state.items()}, strict=False)
    at = torch.tensor(x, requires_grad=True)
    wanted = last(other(first(at)))
    y, center, variance, inferred = LIBRARY.batch_norm(mine, x)
    close(y, wanted.detach().numpy(), 1e-12)
    close(center, other.running_mean.numpy(), 1e-12)
    close(variance, other.running_var.numpy(), 1e-12)
    close(inferred, last(other.eval()(first(at))).detach().numpy(), 1e-12)
    weights = RNG(3).standard_normal(x.shape)
    gradients = torch.autograd.grad(
        (wanted * torch.tensor(weights)).sum(), [at, *other.parameters()]
    )
    _, pull = dmc.vjp(LIBRARY.batch_norm, wrt=("x", "l"))(mine, x)
    of_x, of_layer = pull(weights)
    close(of_x, gradients[0].numpy(), 1e-11)
    close(of_layer.gain, gradients[1].numpy(), 1e-11)


def test_spectral_norm() -> None:
    """After many steps of power iteration the largest singular value is found."""
    mine, x = layer("spectral"), images(7, 4)
    wanted = x @ mine.w / np.linalg.svd(mine.w)[1][0] + mine.b
    close(LIBRARY.spectral(mine, x), wanted, 1e-6)


def test_spectral_convolutions() -> None:
    """The singular vector is the right one from the start."""

    def held_to_one(name: str, conv: Callable[..., Any], x: Any) -> None:
        mine = layer(name)
        matrix = mine.w.reshape(-1, mine.w.shape[-1])
        mine = mine.replace(u=np.linalg.svd(matrix)[2][0])
        given = [torch.tensor(leaf, requires_grad=True) for leaf in (mine.w, mine.b, x)]
        w, b, at = given
        size = torch.linalg.matrix_norm(w.reshape(-1, w.shape[-1]), 2)
        wanted = conv(at, w / size, b, stride=2, padding=1)
        weights = RNG(3).standard_normal(tuple(wanted.shape))
        slopes = torch.autograd.grad((wanted * torch.tensor(weights)).sum(), given)
        value, pull = dmc.vjp(getattr(LIBRARY, name), wrt=("l", "x"))(mine, x)
        close(value, wanted.detach().numpy(), 1e-11)
        of_layer, of_x = pull(weights)
        all_close(of_layer, {"w": slopes[0].numpy(), "b": slopes[1].numpy()}, 1e-10)
        close(of_x, slopes[2].numpy(), 1e-10)

    held_to_one("spectral1", conv1, images(2, 9, 4))
    held_to_one("spectral2", conv2, images())


def test_weight_norm() -> None:
    v, g = images(3, 3, 4, 5), RNG(5).random(5) + 0.5
    held("weight_norm", lambda v, g: g * v / torch.sqrt((v * v).sum((0, 1, 2))), [v, g])


def torch_rnn(kind: str, x: Any, wx: Any, wh: Any, bx: Any, bh: Any) -> Any:
    module = getattr(torch.nn, kind)(4, 5, batch_first=True, dtype=torch.float64)
    weights = dict(zip(("weight_ih_l0", "weight_hh_l0"), (wx.T, wh.T), strict=True))
    weights |= {"bias_ih_l0": bx, "bias_hh_l0": bh}
    return torch.func.functional_call(module, weights, (x,))[0]


def test_recurrent_layers() -> None:
    def of_one_bias(kind: str, x: Any, wx: Any, wh: Any, b: Any) -> Any:
        return torch_rnn(kind, x, wx, wh, b, torch.zeros_like(b))

    def both(x: Any, **p: Any) -> Any:
        ahead, back = ([p[f"{side}_{n}"] for n in ("wx", "wh", "b")] for side in ("ahead", "back"))
        turned = of_one_bias("RNN", x.flip(1), *back).flip(1)
        return torch.cat([of_one_bias("RNN", x, *ahead), turned], 2)

    held("rnn", both, [images(3, 6, 4)])
    held("lstm", partial(of_one_bias, "LSTM"), [images(3, 6, 4)])
    held("gru", lambda x, wx, wh, bx, bh: torch_rnn("GRU", x, wx, wh, bx, bh), [images(3, 6, 4)])


def test_layers_that_join_others() -> None:
    def joined(x: Any, **p: Any) -> Any:
        def inner(h: Any) -> Any:
            return h @ p["inner_w"] + p["inner_b"]

        gate = torch.sigmoid(x @ p["gate_w"] + p["gate_b"])
        h = gate * torch.tanh(inner(x)) + (1 - gate) * x
        h = h + inner(h)
        return torch.cat([h, F.bilinear(h, x, p["pair_w"], p["pair_b"])], 1)

    held("joined", joined, [images(5, 4)])


def test_sequences_of_several_lengths() -> None:
    lengths = np.array([6, 2, 4], np.int32)

    def packed(x: Any, lengths: Any, **p: Any) -> Any:
        module = torch.nn.LSTM(4, 5, batch_first=True, bidirectional=True, dtype=torch.float64)
        weights: dict[str, Any] = {}
        for side, suffix in (("ahead", ""), ("back", "_reverse")):
            weights[f"weight_ih_l0{suffix}"] = p[f"{side}_wx"].T
            weights[f"weight_hh_l0{suffix}"] = p[f"{side}_wh"].T
            weights[f"bias_ih_l0{suffix}"] = p[f"{side}_b"]
            weights[f"bias_hh_l0{suffix}"] = torch.zeros(20, dtype=torch.float64)
        pack = torch.nn.utils.rnn
        sequences = pack.pack_padded_sequence(x, lengths.long(), True, enforce_sorted=False)
        out = torch.func.functional_call(module, weights, (sequences,))[0]
        return pack.pad_packed_sequence(out, batch_first=True)[0]

    held("packed", packed, [images(3, 6, 4)], lengths)
    mine, x = layer("last"), images(3, 6, 4)
    h, c = LIBRARY.last(mine, x, lengths)
    for row, length in enumerate(lengths):
        alone = LIBRARY.last(mine, x[row : row + 1, :length], lengths[row : row + 1])
        close(h[row], alone[0][0], 1e-12)
        close(c[row], alone[1][0], 1e-12)


def test_both_ways() -> None:
    def gru(x: Any, **p: Any) -> Any:
        module = torch.nn.GRU(4, 5, batch_first=True, bidirectional=True, dtype=torch.float64)
        weights: dict[str, Any] = {}
        for side, suffix in (("ahead", ""), ("back", "_reverse")):
            weights[f"weight_ih_l0{suffix}"] = p[f"{side}_wx"].T
            weights[f"weight_hh_l0{suffix}"] = p[f"{side}_wh"].T
            weights[f"bias_ih_l0{suffix}"] = p[f"{side}_bx"]
            weights[f"bias_hh_l0{suffix}"] = p[f"{side}_bh"]
        return torch.func.functional_call(module, weights, (x,))[0]

    held("both_ways", gru, [images(3, 6, 4)])


# Attention


def attended(q: Any, k: Any, v: Any, **how: Any) -> Any:
    return F.scaled_dot_product_attention(q, k, v, enable_gqa=True, **how)


def test_attention() -> None:
    rng = RNG(5)
    q, k, v = (rng.standard_normal((2, h, 7, n)) for h, n in ((4, 6), (2, 6), (2, 3)))
    short = k[:, :, :5], v[:, :, :5]
    held("grouped_attention", attended, [q, *short])
    held("causal_attention", lambda q, k, v: attended(q, k, v, is_causal=True), [q, k, v])
    seen = np.array([[1, 1, 0, 1, 0], [0, 1, 1, 1, 1]]) > 0

    def masked(q: Any, k: Any, v: Any, seen: Any) -> Any:
        return attended(q, k, v, attn_mask=seen[:, None, None, :])

    held("seen_attention", masked, [q, *short], seen)
    t = np.arange(7)
    slopes = 2.0 ** (-8 * np.arange(1, 5) / 4)
    bias = np.where(t[:, None] >= t, -slopes[:, None, None] * (t[:, None] - t), -np.inf)
    mask = torch.tensor(bias)
    held("alibi_attention", lambda q, k, v: attended(q, k, v, attn_mask=mask), [q, k, v])


def heads(x: Any) -> Any:
    return x.reshape(*x.shape[:2], 2, -1).transpose(1, 2)


def attention(x: Any, y: Any, *, is_causal: bool = False, **p: Any) -> Any:
    q, k, v = x @ p["wq"] + p["bq"], y @ p["wk"], y @ p["wv"] + p["bv"]
    out = attended(heads(q), heads(k), heads(v), is_causal=is_causal)
    return out.transpose(1, 2).reshape(*x.shape) @ p["wo"] + p["bo"]


def part(p: dict[str, Any], name: str) -> dict[str, Any]:
    return {n.removeprefix(f"{name}_"): v for n, v in p.items() if n.startswith(f"{name}_")}


def norm(x: Any, p: dict[str, Any], name: str) -> Any:
    return F.layer_norm(x, (8,), p[f"{name}_gain"], p[f"{name}_bias"])


def dense(x: Any, p: dict[str, Any]) -> Any:
    inner = F.gelu(x @ p["up"] + p["up_bias"], approximate="tanh")
    return inner @ p["down"] + p["down_bias"]


def block(x: Any, **p: Any) -> Any:
    y = norm(x, p, "norm1")
    x = x + attention(y, y, **part(p, "attention"), is_causal=True)
    return x + dense(norm(x, p, "norm2"), p)


def decoder(x: Any, memory: Any, **p: Any) -> Any:
    y = norm(x, p, "norm1")
    x = x + attention(y, y, **part(p, "attention"), is_causal=True)
    x = x + attention(norm(x, p, "norm2"), memory, **part(p, "crossing"))
    return x + dense(norm(x, p, "norm3"), p)


def test_attention_layers() -> None:
    x, memory = images(3, 6, 8), images(3, 4, 8)
    held("attention", lambda x, **p: attention(x, x, **p), [x])
    held("cross", attention, [x, memory])


def test_transformer_blocks() -> None:
    x, memory = images(3, 6, 8), images(3, 4, 8)
    held("block", block, [x])
    held("decoder", decoder, [x, memory])
    net = layer("block")
    close(LIBRARY.generated(net, x), LIBRARY.block(net, x), 1e-12, "with a cache")


def test_positions() -> None:
    t, i = np.arange(5)[:, None], np.arange(3)
    angle = t / 10000 ** (2 * i / 6)
    wanted = np.stack([np.sin(angle), np.cos(angle)], 2).reshape(5, 6)
    close(LIBRARY.positions[5](), wanted, 1e-12)
    x = images(2, 5, 6)
    z = (x[..., :3] + 1j * x[..., 3:]) * np.exp(1j * (3 + t) / 10000 ** (2 * i / 6))
    close(LIBRARY.turned(x), np.concatenate([z.real, z.imag], -1), 1e-12)
