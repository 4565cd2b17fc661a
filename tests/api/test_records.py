"""Records of a program from Python: making, changing, saving them."""

from pathlib import Path

import numpy as np
import pytest

import dmc
from tests.api.programs import KEY, program

net = program.Net.init(KEY, I=3, H=4)


def test_init_is_a_function_of_the_key() -> None:
    assert program.Net.init(KEY, I=3, H=4) == net
    assert program.Net.init(dmc.key(1), I=3, H=4) != net
    assert (net.I, net.H, net.rate, net.std) == (3, 4, 0.5, 0.1)
    assert net.w.shape == (3, 4)
    assert net.w.dtype == np.float32


def test_hyperparameters() -> None:
    assert program.Net.init(KEY, I=3, H=4, rate=2.0).rate == 2.0
    x = np.ones((2, 3), np.float32)
    louder = net.replace(rate=1.0)
    np.testing.assert_allclose(louder(x), 2 * net(x), rtol=1e-6)


def test_models_made_by_hand() -> None:
    fields = {"w": net.w, "head": net.head, "base": net.base}
    assert program.Net(I=3, H=4, rate=0.5, std=0.1, **fields) == net
    assert program.Net(**fields) == net
    assert program.Net(rate=2.0, **fields).std == 0.1


def test_structs_take_numbers_and_arrays() -> None:
    line = program.Line(slope=1, offset=np.float64(2.0))
    assert (line.slope, line.offset) == (1.0, 2.0)
    assert isinstance(line.slope, np.float64)
    assert program.moved(line) == program.Line(slope=1.0, offset=3.0)
    weights = program.Weights(w=np.zeros(3), b=1)
    assert weights.D == 3


def test_fields_by_position() -> None:
    line = program.Line(slope=1.0, offset=2.0)
    assert program.Line(1.0, 2.0) == line
    assert program.Line(1.0, offset=2.0) == line
    assert program.Line(*(value for _, value in line.items())) == line


def test_stacks() -> None:
    tower = program.Tower.init(KEY, D=3, L=4)
    x = np.ones(3, np.float32)
    assert tower.layers.w.shape == (4, 3, 3)
    assert tower.layers[1].w.shape == (3, 3)
    h = x
    for i in range(4):
        layer = tower.layers[i]
        h = np.tanh(h @ layer.w + layer.b)
    np.testing.assert_allclose(tower(x), h, rtol=1e-5)
    again = program.Tower(layers=dmc.stack([tower.layers[i] for i in range(4)]))
    np.testing.assert_array_equal(again(x), tower(x))
    gradient = dmc.grad(program.stacked)(tower, x)
    assert gradient.layers.w.shape == (4, 3, 3)


def test_records_of_imported_modules() -> None:
    mod = dmc.loads("import nn\n\nfn f(l: nn.Linear[2, 2]) -> f32 = sum(l.w)")
    layer = mod.nn.Linear.init(KEY, I=2, O=2)
    np.testing.assert_allclose(mod.f(layer), np.sum(layer.w), rtol=1e-6)
    assert "relu" in dir(mod.nn)


def test_save_and_restore(tmp_path: Path) -> None:
    file = tmp_path / "net.safetensors"
    dmc.save(net, file)
    back = dmc.restore(file, program.Net)
    assert back == net
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(back(x), net(x))
    tower = program.Tower.init(KEY, D=3, L=4)
    dmc.save(tower, file)
    assert dmc.restore(file, program.Tower) == tower


BAD_FILES = {
    "missing": ("checkpoint.missing", None),
    "empty": ("checkpoint.truncated", b""),
    "another format": ("checkpoint.foreign", b"\x89PNG\r\n\x1a\n" + bytes(100)),
    "cut in the middle": ("checkpoint.truncated", "cut"),
    "of another model": ("checkpoint.mismatch", "line"),
}


@pytest.mark.parametrize(("code", "content"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_bad_checkpoints(tmp_path: Path, code: str, content: bytes | str | None) -> None:
    file = tmp_path / "net.safetensors"
    if content == "line":
        dmc.save(program.Line(slope=1.0, offset=2.0), file)
    elif content == "cut":
        dmc.save(net, file)
        file.write_bytes(file.read_bytes()[:-20])
    elif isinstance(content, bytes):
        file.write_bytes(content)
    with pytest.raises(dmc.CheckpointError) as caught:
        dmc.restore(file, program.Net)
    assert caught.value.diagnostics[0].code == code


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(dmc.CheckpointError) as caught:
        dmc.save(net, tmp_path / "nowhere" / "net.safetensors")
    assert caught.value.diagnostics[0].code == "checkpoint.unwritable"


def test_sizes_that_no_array_shows() -> None:
    x = np.ones(6, np.float32)
    two = program.Wrapped.init(KEY, D=6, H=2)
    three = program.Wrapped(D=6, H=3, inner=program.Heads(D=6, H=3, w=two.inner.w))
    rows = x @ two.inner.w
    np.testing.assert_allclose(two(x), rows.reshape(2, 3).sum(-1), rtol=1e-5)
    np.testing.assert_allclose(three(x), rows.reshape(3, 2).sum(-1), rtol=1e-5)
    assert (2.0 * three).H == 3
    assert program.Wrapped.forward.compile(D=6, H=2)(two, x).shape == (2,)
    with pytest.raises(dmc.Error, match="H"):
        program.Heads(w=two.inner.w)
    with pytest.raises(dmc.ShapeError, match="inner has H = 3"):
        two.replace(inner=three.inner)


def test_sizes_that_no_array_shows_are_saved(tmp_path: Path) -> None:
    net = program.Wrapped.init(KEY, D=6, H=2)
    dmc.save(net, tmp_path / "net.safetensors")
    assert dmc.restore(tmp_path / "net.safetensors", program.Wrapped) == net


def test_a_bool_of_a_model_in_a_stack() -> None:
    mod = dmc.loads(
        "model B[N](swap: bool = false) {\n"
        "    param w: f64[N] = ones\n"
        "    fn forward(x: f64[N]) -> f64[N] = if swap { x * w } else { 2.0 * w }\n"
        "}\n"
        "model S[N](swap: bool = true) {\n"
        "    layers: 3 * B[N](swap = swap)\n"
        "    fn forward(x: f64[N]) -> f64[N] {\n"
        "        var h = x\n"
        "        for b in layers { h = b(h) }\n"
        "        h\n"
        "    }\n"
        "}\n"
        "fn loss[N](s: S[N], x: f64[N]) -> f64 = sum(s(x))\n"
    )
    x = np.array([3.0, 4.0])
    for swap, wanted in ((True, x), (False, 2.0 * np.ones(2))):
        s = mod.S.init(dmc.key(0), N=2, swap=swap)
        assert np.array_equal(s(x), wanted)
        assert np.array_equal(dmc.stack([s.layers[0]] * 3).swap, s.layers.swap)
        assert all(check.passed for check in dmc.check_grads(mod.loss, s, x))


def test_defaults_of_hyperparameters_over_an_element_type() -> None:
    source = (
        "model Scale[N, F: float = f32](by: F = 1.0 / sqrt(N), bias: F = 0.1) {\n"
        "    param w: F[N] = by * normal(key)\n"
        "    fn forward(x: F[N]) -> F = sum(w * x) + bias\n"
        "}\n"
    )
    made = dmc.loads(source)
    single = made.Scale(w=np.ones(3, np.float32))
    double = made.Scale(w=np.ones(3))
    assert single.by == float(str(1 / np.sqrt(np.float32(3))))
    assert double.by == 1 / np.sqrt(3)
    assert made.Scale(w=np.ones(3), bias=0.5).by == double.by
    assert double(np.ones(3)) == 3.1
