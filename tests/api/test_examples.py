"""The example programs of the language, called from Python as its design shows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dmc

PROGRAMS = Path(__file__).parent.parent / "programs"
key = dmc.key(0)
rng = np.random.default_rng(0)


def load(name: str) -> Any:
    return dmc.load(PROGRAMS / f"{name}.dm")


def floats(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def labels(count: int, *shape: int) -> np.ndarray:
    return rng.integers(0, count, shape).astype(np.int32)


def test_logistic_regression() -> None:
    lg = load("logistic")
    x = rng.standard_normal((100, 3))
    y = (x @ np.array([1.0, -2.0, 0.5]) > 0) * 1.0
    p = lg.Weights(w=np.zeros(3), b=0.0)
    np.testing.assert_allclose(lg.loss(p, x, y), np.log(2.0))
    fitted = lg.fit(x, y, steps=500, lr=0.5)
    assert lg.loss(fitted, x, y) < 0.25
    product = dmc.hvp(lg.loss, along=p.replace(b=1.0))(p, x, y)
    np.testing.assert_allclose(product.b, 0.25)
    np.testing.assert_allclose(product.w, 0.25 * x.mean(0))
    with pytest.raises(dmc.ShapeError, match=r"loss: y has N = 99 but x has N = 100 \(.*:\d+\)"):
        lg.loss(p, x, y[:99])


def test_mlp_and_adamw() -> None:
    mlp, opt = load("mlp"), load("adamw")
    net = mlp.MLP.init(key, I=20, H=16, O=10)
    x, y = floats(32, 20), labels(10, 32)
    value, gradient = dmc.value_and_grad(mlp.loss)(net, x, y, key)
    s = opt.init(net)
    new, s = opt.update(net, gradient, s, lr=opt.warmup_cosine(s.t, 3e-2, 1, 10_000))
    new, s = opt.update(new, gradient, s, lr=opt.warmup_cosine(s.t, 3e-2, 1, 10_000))
    assert s.t == 2
    assert new.I == 20
    assert mlp.loss(new, x, y, key) < value
    assert opt.update.signature.startswith("fn update[M: record](net: M, g: Grad[M], s: AdamW[M]")


def test_convolutions_with_state(tmp_path: Path) -> None:
    cnn = load("lenet")
    net = cnn.LeNet.init(key, K=10)
    img, y = floats(8, 28, 28, 1), labels(10, 8)
    first, new = cnn.step(net, img, y, lr=1e-2)
    assert not np.array_equal(new.n1.avg, net.n1.avg)
    losses = [first]
    for _ in range(5):
        loss, new = cnn.step(new, img, y, lr=1e-2)
        losses.append(loss)
    assert losses[-1] < first
    logits, same = new(img, train=False)
    assert logits.shape == (8, 10)
    assert same == new
    dmc.save(new, tmp_path / "net.safetensors")
    assert dmc.restore(tmp_path / "net.safetensors", cnn.LeNet) == new


def test_recurrent_network() -> None:
    lm = load("charlstm")
    net = lm.CharLM.init(key, V=11, D=4, H=5)
    ids = labels(11, 3, 8)
    gradient = dmc.grad(lm.loss)(net, ids)
    assert lm.loss(net - 0.5 * gradient, ids) < lm.loss(net, ids)


def test_transformer_compiled_ahead() -> None:
    gpt = load("gpt")
    net = gpt.GPT.init(key, V=50, C=16, D=24, H=3, L=2, rate=0.1)
    f = gpt.loss.compile(net, B=2, T=8)
    assert "bytes" in str(f.memory())
    assert "func.func @loss" in f.ir("tensor")
    ids = labels(50, 2, 9)
    assert f(net, ids, key) == gpt.loss(net, ids, key)
    with pytest.raises(dmc.IndexError, match="ids holds 50"):
        gpt.loss(net, ids + 50 - ids.max(), key)


def test_gaussian_mixture() -> None:
    gmm = load("gmm")
    n, d, k = 10, 4, 3
    p = gmm.GMM(
        alpha=rng.standard_normal(k),
        mu=rng.standard_normal((k, d)),
        icf=rng.standard_normal((k, d * (d + 1) // 2)),
    )
    x, prior = rng.standard_normal((n, d)), gmm.Wishart(gamma=1.0, m=0)
    gradient = dmc.grad(gmm.log_posterior)(p, x, prior)
    assert gradient.icf.shape == (k, d * (d + 1) // 2)
    dmc.check_grads(gmm.log_posterior, p, x, prior, samples=4)


def test_bundle_adjustment() -> None:
    ba = load("bundle")
    cams = dmc.stack(
        [
            ba.Camera(0.1 * np.ones(3), i * np.ones(3), 1.0, np.zeros(2), np.zeros(2))
            for i in range(4)
        ]
    )
    pts = rng.standard_normal((6, 3)) + np.array([0.0, 0.0, 10.0])
    obs = np.stack([labels(4, 10), labels(6, 10)], axis=1)
    blocks = ba.jacobian_blocks(cams, pts, np.ones(10), obs, rng.standard_normal((10, 2)))
    assert blocks[0].focal.shape == (10, 2)
    assert blocks[1].shape == (10, 2, 3)
    assert all(np.isfinite(leaf).all() for _, leaf in blocks[0].items())


def test_pendulum() -> None:
    ode = load("pendulum")
    p = ode.Pendulum(g_over_l=9.8, damping=0.1)
    y0 = np.array([1.0, 0.0])
    path = ode.simulate[200](p, y0, 0.05)
    assert path.shape == (200, 2)
    angle = path[:, 0] + 0.1
    value, change = dmc.jvp(ode.misfit, along=p)(p, y0, 0.05, angle)
    _, gradient = dmc.value_and_grad(ode.misfit)(p, y0, 0.05, angle)
    np.testing.assert_allclose(value, ode.misfit(p, y0, 0.05, angle))
    np.testing.assert_allclose(change, 9.8 * gradient.g_over_l + 0.1 * gradient.damping)
    y, pull = dmc.vjp(ode.simulate[200])(p, y0, 0.05)
    np.testing.assert_array_equal(y, path)
    assert np.isfinite(pull(np.ones_like(y)).g_over_l)


def test_meta_learning() -> None:
    maml = load("maml")
    net = maml.Net.init(key, H=8)
    batch = [floats(3, 5, 1) for _ in range(4)]
    gradient = dmc.grad(maml.meta_loss)(net, *batch, 0.01, 5)
    assert maml.meta_loss(net - 1e-2 * gradient, *batch, 0.01, 5) < maml.meta_loss(
        net, *batch, 0.01, 5
    )
