"""The example programs of the language, run by the reference interpreter against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special

import dmc
from dmc.semantics.modules import check_program
from tests.programs import FOLDER, PROGRAMS
from tests.semantics.running import Rec, bind, init, load, record, run

RNG = np.random.default_rng(7)


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.stem)
def test_program_checks(path: Any) -> None:
    program = check_program(path)
    assert all(function.body is not None for function in program.functions())


def test_logistic() -> None:
    program = load("logistic")
    x, y, w = RNG.normal(size=(5, 3)), (RNG.random(5) > 0.5) * 1.0, RNG.normal(size=3)
    (loss,) = run(program, "loss", p=record(program, "Weights", w=w, b=0.5), x=x, y=y)
    z = x @ w + 0.5
    assert np.isclose(loss, np.mean(np.logaddexp(0, z) - y * z) + 0.005 * np.sum(w**2))


def test_logistic_fit_by_gradient_descent() -> None:
    program = load("logistic")
    x, y = RNG.normal(size=(8, 3)), (RNG.random(8) > 0.5) * 1.0
    w, b = run(program, "fit", x=x, y=y, steps=20, lr=0.5)
    v, c = np.zeros(3), 0.0
    for _ in range(20):
        error = (special.expit(x @ v + c) - y) / 8
        v, c = v - 0.5 * (x.T @ error + 0.01 * v), c - 0.5 * error.sum()
    assert np.allclose(w, v)
    assert np.allclose(b, c)


def test_gmm() -> None:
    program = load("gmm")
    K, D, N = 2, 3, 4
    alpha, mu = RNG.normal(size=K), RNG.normal(size=(K, D))
    icf, x = RNG.normal(size=(K, D * (D + 1) // 2)), RNG.normal(size=(N, D))
    (value,) = run(
        program,
        "log_posterior",
        p=record(program, "GMM", alpha=alpha, mu=mu, icf=icf),
        x=x,
        prior=record(program, "Wishart", gamma=1.5, m=1),
    )
    lower = np.zeros((K, D, D))
    for k in range(K):
        lower[k][np.diag_indices(D)] = np.exp(icf[k, :D])
        place = D
        for c in range(D):
            for r in range(c + 1, D):
                lower[k, r, c] = icf[k, place]
                place += 1
    z = np.einsum("krc,nkc->nkr", lower, x[:, None] - mu)
    inner = alpha + icf[:, :D].sum(1) - 0.5 * np.sum(z**2, -1)
    shift = N * (special.logsumexp(alpha) + 0.5 * D * np.log(2 * np.pi))
    n = D + 1 + 1
    gamma = D * (D - 1) / 4 * np.log(np.pi)
    gamma += sum(special.gammaln(0.5 * n - 0.5 * j) for j in range(D))
    norm = n * D * (np.log(1.5) - 0.5 * np.log(2)) - gamma
    frob = np.sum(np.exp(2 * icf[:, :D])) + np.sum(icf[:, D:] ** 2)
    wishart = 0.5 * 1.5**2 * frob - icf[:, :D].sum() - K * norm
    assert np.isclose(value, np.sum(np.logaddexp.reduce(inner, axis=1)) - shift + wishart)


def pendulum_path(steps: int) -> np.ndarray:
    def field(y: np.ndarray) -> np.ndarray:
        return np.array([y[1], -9.8 * np.sin(y[0]) - 0.3 * y[1]])

    y, h, path = np.array([0.5, 0.0]), 0.05, []
    for _ in range(steps):
        k1 = field(y)
        k2 = field(y + 0.5 * h * k1)
        k3 = field(y + 0.5 * h * k2)
        k4 = field(y + h * k3)
        y = y + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        path.append(y)
    return np.array(path)


def test_pendulum() -> None:
    program = load("pendulum")
    p = record(program, "Pendulum", g_over_l=9.8, damping=0.3)
    start = np.array([0.5, 0.0])
    (path,) = run(program, "simulate", 30, p=p, y0=start, h=0.05)
    assert np.allclose(path, pendulum_path(30))
    (misfit,) = run(program, "misfit", p=p, y0=start, h=0.05, angle=np.zeros(30))
    assert np.isclose(misfit, np.mean(pendulum_path(30)[:, 0] ** 2))


def kepler(e: float, m: float) -> float:
    x = m
    for _ in range(200):
        x = m + e * np.sin(x)
    return x


def test_newton() -> None:
    program = load("newton")
    assert np.isclose(run(program, "kepler", e=0.3, m=1.0)[0], kepler(0.3, 1.0))
    assert np.isclose(run(program, "cube_root", a=2.0)[0], 2.0 ** (1 / 3))


def test_mlp() -> None:
    program = load("mlp")
    net = init(program, "MLP", 7, I=4, H=6, O=3)
    x = RNG.normal(size=(5, 4)).astype(np.float32)
    y = np.array([0, 2, 1, 1, 0], np.int32)
    (logits,) = run(program, "MLP.forward", self=net, x=x, key=np.int64(3), train=False)

    def layer(name: str, value: np.ndarray) -> np.ndarray:
        linear = net.fields[name]
        return value @ linear.fields["w"] + linear.fields["b"]

    a = np.maximum(layer("l1", x), 0)
    b = a + np.maximum(layer("l2", a), 0)
    expected = layer("l3", b)
    assert np.allclose(logits, expected, atol=1e-5)
    (hits,) = run(program, "accuracy", net=net, x=x, y=y, key=np.int64(3))
    assert np.isclose(hits, np.mean(expected.argmax(-1) == y))


def test_initial_parameters_do_not_depend_on_the_order_of_fields() -> None:
    program = load("mlp")
    first, second = init(program, "MLP", 7, I=4, H=6, O=3), init(program, "MLP", 7, I=4, H=6, O=3)
    other = init(program, "MLP", 8, I=4, H=6, O=3)
    w = [net.fields["l1"].fields["w"] for net in (first, second, other)]
    assert np.array_equal(w[0], w[1])
    assert not np.array_equal(w[0], w[2])
    assert not np.array_equal(w[0].shape, first.fields["l2"].fields["w"].shape)


def test_charlstm_runs() -> None:
    program = load("charlstm")
    net = init(program, "CharLM", 1, V=5, D=4, H=3)
    ids = RNG.integers(0, 5, (2, 6)).astype(np.int32)
    (loss,) = run(program, "loss", net=net, ids=ids)
    assert np.isclose(loss, np.log(5), atol=0.3)


def test_gpt_runs_and_has_one_copy_of_its_block() -> None:
    program = load("gpt")
    net = init(program, "GPT", 1, V=7, C=6, D=4, H=2, L=3)
    blocks = net.fields["blocks"]
    assert isinstance(blocks, Rec)
    assert blocks.fields["up"].fields["w"].shape == (3, 4, 16)
    assert not np.array_equal(*blocks.fields["up"].fields["w"][:2])
    ids = RNG.integers(0, 7, (1, 5)).astype(np.int32)
    (loss,) = run(program, "loss", net=net, ids=ids, key=np.int64(2))
    assert np.isclose(loss, np.log(7), atol=0.3)


def test_adamw_on_any_record() -> None:
    program = load("adamw")
    logistic = load("logistic")
    del logistic
    p = bind(program, "warmup_cosine", {"t": 5, "peak": 1.0, "warmup": 10, "total": 100})
    assert str(p.result) == "f32"
    (rate,) = run(program, "warmup_cosine", t=55, peak=1.0, warmup=10, total=100)
    assert np.isclose(rate, 0.5, atol=1e-6)


def test_maml_differentiates_through_its_inner_loop() -> None:
    program = load("maml")
    net = init(program, "Net", 1, H=3)

    def data(*shape: int) -> np.ndarray:
        return RNG.normal(size=shape).astype(np.float32)

    tasks: dict[str, Any] = {
        "x": data(2, 3, 1),
        "y": data(2, 3, 1),
        "xq": data(2, 2, 1),
        "yq": data(2, 2, 1),
    }
    (before,) = run(program, "meta_loss", net=net, **tasks, lr=0.0, steps=1)
    (after,) = run(program, "meta_loss", net=net, **tasks, lr=0.01, steps=1)
    assert np.isfinite(before)
    assert after != before


def test_bundle_jacobian_blocks_against_differences() -> None:
    program = load("bundle")
    camera = {
        "rot": RNG.normal(size=(1, 3)),
        "center": RNG.normal(size=(1, 3)),
        "focal": np.ones(1),
        "principal": np.zeros((1, 2)),
        "radial": 0.1 * np.ones((1, 2)),
    }
    points, w = RNG.normal(size=(2, 3)), np.array([1.0, 0.5])
    obs = np.array([[0, 0], [0, 1]], np.int32)
    feat = RNG.normal(size=(2, 2))

    def residuals(pts: np.ndarray) -> np.ndarray:
        cams = record(program, "Camera", **camera)
        return run(program, "residuals", cams=cams, pts=pts, w=w, obs=obs, feat=feat)[0]

    cams = record(program, "Camera", **camera)
    blocks = run(program, "jacobian_blocks", cams=cams, pts=points, w=w, obs=obs, feat=feat)
    assert [b.shape for b in blocks[-2:]] == [(2, 2, 3), (2, 2)]
    step = 1e-6
    for axis in range(3):
        moved = np.zeros_like(points)
        moved[:, axis] = step
        difference = (residuals(points + moved) - residuals(points - moved)) / (2 * step)
        assert np.allclose(blocks[-2][:, :, axis], difference, rtol=1e-4, atol=1e-6)


def test_lenet_returns_its_updated_statistics() -> None:
    program = load("lenet")
    net = init(program, "LeNet", 1, K=3)
    image = RNG.normal(size=(1, 28, 28, 1)).astype(np.float32)
    binding = bind(program, "LeNet.forward", {"self": net, "img": image, "train": True})
    assert str(binding.result) == "(f32[1, 3], LeNet[3])"
    names = [leaf.name for leaf in binding.results]
    assert "1.n1.avg" in names


def test_mixed_precision() -> None:
    """The encoder in bf16 is that in f32 to some units of bf16; the gradient comes back in f32."""
    program = dmc.load(FOLDER / "mixed.dm")
    net = program.Encoder.init(dmc.key(0), I=4, D=6)
    a, b = (RNG.normal(size=(5, 4)).astype(np.float32) for _ in range(2))
    same = np.array([True, False, True, False, True])

    def encoded(x: Any) -> Any:
        h = x @ net.stem.w + net.stem.b
        for w, bias in zip(net.body.w, net.body.b, strict=True):
            h = h + np.tanh(h @ w + bias)
        return h

    d = np.sum((encoded(a) - encoded(b)) ** 2, axis=-1)
    exact = np.mean(np.where(same, d, np.maximum(1.0 - np.sqrt(d + 1e-6), 0.0) ** 2))
    value, gradient = dmc.value_and_grad(program.siamese_loss)(net, a, b, same)
    assert value == pytest.approx(exact, rel=8 * 2.0**-8)
    assert gradient.body.w.dtype == np.float32
    assert gradient.stem is None
    moved = net.replace(body=net.body.replace(w=net.body.w - 0.01 * gradient.body.w))
    assert program.siamese_loss(moved, a, b, same) < value
