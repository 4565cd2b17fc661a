"""Kernels that share rows run on a tile of rows after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import dmc
from dmc.dialects import control, func, kernel
from dmc.driver import Compilation
from dmc.ir import Interpreter, Module, VerifyError, bytes_of, dtype_of, shape_of, verify
from dmc.ir.passes import PassManager
from dmc.transforms import pipeline, stream_rows
from dmc.transforms.bound_spaces import BoundSpaces
from dmc.transforms.stream_rows import StreamRows
from dmc.transforms.streams.rows import Rows

ATTENTION = """
fn f[H, T, U, K](q: f64[H, T, K], k: f64[H, U, K], v: f64[H, U, K]) -> f64 {
    let s = [h, t, u] => if u <= t { q[h, t] @ k[h, u] / sqrt(K) } else { -inf }
    let o = softmax[-1](s) @ v
    sum(o * o * o)
}
"""
PROGRAMS = {
    "attention": (ATTENTION, {"H": 3, "T": 13, "U": 9, "K": 4}),
    "packed heads": (
        """
fn f[B, T, H, K](x: f64[B, T, 3 * H * K]) -> f64 {
    let z = reshape[B, T, 3, H, K](x)
    let s = [b, h, t, u] =>
        if u <= t { sum[e](z[b, t, 0, h, e] * z[b, u, 1, h, e]) / sqrt(K) } else { -inf }
    let p = softmax[-1](s)
    let o = [b, t, h, e] => sum[u](p[b, h, t, u] * z[b, u, 2, h, e])
    sum(o * o * o)
}
""",
        {"B": 1, "T": 7, "H": 2, "K": 3},
    ),
    "distances": (
        """
fn f[N, M, D](x: f64[N, D], c: f64[M, D]) -> f64 {
    let far = [n, m] => sum((x[n] - c[m]) ** 2)
    sum(min[-1](far)) + sum(logsumexp[-1](-far))
}
""",
        {"N": 23, "M": 7, "D": 3},
    ),
    "dense": (
        """
fn f[B, I, H](w: f64[I, H], b: f64[H], v: f64[H], x: f64[B, I]) -> f64 {
    let h = tanh(x @ w + b)
    let centred = [i] => h[i] - mean(h)
    sum((centred @ v) ** 2)
}
""",
        {"B": 19, "I": 5, "H": 8},
    ),
    "rows by number": (
        """
fn f[N, M](x: f64[N], t: f64[M], at: i64[N]) -> f64 {
    let each = [n, m in 0..M] => x[n] * t[(at[n] + m) % M] + f64(n)
    sum([n] => max(each[n]) * f64(n))
}
""",
        {"N": 17, "M": 6},
    ),
    "chain": (
        """
fn f[N](x: f64[N]) -> f64 {
    let y = sin(x)
    let z = exp(y) * cos(y)
    sum(z) + max(z * y)
}
""",
        {"N": 101},
    ),
}


def kernels(source: str, sizes: dict[str, int]) -> Module:
    """A program's value and gradient at kernel level, before anything is streamed."""
    compiled = dmc.value_and_grad(dmc.loads(source).f).specialize(**sizes)
    module = compiled.compilation.tensor.copy()
    for stage in (pipeline.derivatives, pipeline.optimize):
        PassManager(stage()).run(module)
    passes = pipeline.to_kernels()
    names = [each.name for each in passes]
    PassManager(passes[: names.index(StreamRows.name)]).run(module)
    return module


def arguments_of(module: Module) -> list[Any]:
    rng = np.random.default_rng(3)
    (entry,) = [f for f in func.functions(module) if not f.is_private]
    kinds = [(shape_of(t), dtype_of(t).numpy) for t in entry.function_type.inputs]
    return [
        rng.integers(0, 4, shape) if kind.kind == "i" else rng.normal(size=shape).astype(kind)
        for shape, kind in kinds
    ]


WORTH_IT = stream_rows.LEAST_SAVED


@pytest.fixture(autouse=True)
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_rows, "LEAST_ROWS", 1)
    monkeypatch.setattr(stream_rows, "LEAST_SAVED", -np.inf)


def streamed(name: str, rows: int) -> Module:
    source, sizes = PROGRAMS[name]
    module = kernels(source, sizes)
    arguments = arguments_of(module)
    (entry,) = [f.sym_name for f in func.functions(module) if not f.is_private]
    expected = Interpreter(module).call(entry, arguments)
    largest = max(bytes_of(op.results[0]) for op in _kernels(module))
    StreamRows(large=largest // 4, tile=rows * 8 * 8).run(module)
    verify(module)
    found = Interpreter(module).call(entry, arguments)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)
    return module


def _kernels(module: Module) -> Sequence[kernel.Generic]:
    return [op for op in module.walk() if isinstance(op, kernel.Generic)]


@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("name", PROGRAMS)
def test_tiles_compute_the_same(name: str, rows: int) -> None:
    module = streamed(name, rows)
    assert any(isinstance(op, control.For) for op in module.walk())


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_mask_bounds_all_that_reads_it_in_a_tile(rows: int) -> None:
    """Scores, their largest, weights, and all products; those of one row are no contractions."""
    module = streamed("attention", rows)
    arguments = arguments_of(module)
    (entry,) = [f.sym_name for f in func.functions(module) if not f.is_private]
    expected = Interpreter(module).call(entry, arguments)
    passes = pipeline.to_kernels()
    names = [each.name for each in passes]
    rest = passes[names.index(StreamRows.name) + 1 : names.index(BoundSpaces.name) + 1]
    PassManager([*rest, BoundSpaces()]).run(module)
    bounded = [op for op in _kernels(module) if not op.domain.is_everything]
    loops = [op for op in bounded if isinstance(op.parent_op, control.For)]
    assert sum(op.contraction() is not None for op in loops) == (2 if rows == 1 else 4)
    assert sum(op.combiner_names == ("max",) for op in loops) == 1
    assert all(op.domain.dims().intersection(range(len(op.space), 99)) for op in loops)
    found = Interpreter(module).call(entry, arguments)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)


def test_an_error_in_where_rows_begin_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rows, "_begins", lambda _self, _block: [])
    with pytest.raises((AssertionError, VerifyError, IndexError)):
        streamed("attention", 2)


def test_what_is_not_read_by_rows_stays_whole() -> None:
    """Each row of the product needs all rows of `h`, which is made once and kept."""
    source = """
fn f[N](x: f64[N, N]) -> f64 {
    let h = tanh(x @ x)
    sum((h @ h) ** 2)
}
"""
    module = kernels(source, {"N": 12})
    before = max(bytes_of(op.results[0]) for op in _kernels(module))
    StreamRows(large=before, tile=before // 4).run(module)
    verify(module)
    assert max(bytes_of(op.results[0]) for op in _kernels(module)) == before


@pytest.mark.parametrize(("heads", "rows"), [(2, 1030), (8, 512)])
def test_native_code_of_tiles(heads: int, rows: int) -> None:
    """With a last tile that is not whole, and heads that are tasks, on any number of threads."""
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(heads, rows, 8)) for _ in range(3))
    function = dmc.value_and_grad(dmc.loads(ATTENTION).f, wrt=("q", "k", "v"))
    kernels_ = function.compile(q, k, v).compilation.kernels
    loops = [op for op in kernels_.walk() if isinstance(op, control.For)]
    assert [op.trip_count for op in loops if op.tasks] == [heads] * (heads == 8)
    (entry,) = [f for f in func.functions(kernels_) if not f.is_private]
    assert bool(entry.private_bytes) == (heads == 8)
    assert (entry.arena_bytes or 0) + (entry.private_bytes or 0) < heads * rows * rows * 8
    value, gradients = _attention(q, k, v)
    before, bits = dmc.get_num_threads(), set[bytes]()
    try:
        for threads in (1, 2, 3):
            dmc.set_num_threads(threads)
            found, slopes = function(q, k, v)
            np.testing.assert_allclose(found, value, rtol=1e-10)
            for slope, wanted in zip(slopes, gradients, strict=True):
                np.testing.assert_allclose(slope, wanted, rtol=1e-8, atol=1e-12)
            bits.add(b"".join(np.asarray(slope).tobytes() for slope in slopes))
    finally:
        dmc.set_num_threads(before)
    assert len(bits) == 1


def _attention(q: Any, k: Any, v: Any) -> tuple[float, tuple[Any, Any, Any]]:
    """The value and its gradient, derived by hand."""
    scale = 1 / np.sqrt(q.shape[-1])
    s = np.einsum("htk,huk->htu", q, k) * scale
    s[:, np.triu(np.ones(s.shape[1:], bool), 1)] = -np.inf
    p = np.exp(s - s.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    o = p @ v
    o_bar = 3 * o * o
    p_bar = np.einsum("htk,huk->htu", o_bar, v)
    s_bar = p * (p_bar - (p * p_bar).sum(-1, keepdims=True)) * scale
    v_bar = np.einsum("htu,htk->huk", p, o_bar)
    k_bar = np.einsum("htu,htk->huk", s_bar, q)
    return float((o**3).sum()), (s_bar @ k, k_bar, v_bar)


ORDERED = """
fn f[N, M](x: f64[N], c: f64[M]) -> f64 {
    let e = [n, m] => exp(x[n] * c[m])
    let rows = [n] => sum(e[n])
    let columns = [m] => sum[n](e[n, m])
    sum(log(rows)) + sum(columns ** 2) + max(e)
}
"""


@pytest.mark.parametrize("name", ["along the rows", "within rows"])
def test_sums_keep_the_order_that_they_have_alone(name: str) -> None:
    """Whatever lies between kernels is streamed or not: sums have the same bits."""
    rng = np.random.default_rng(0)
    if name == "along the rows":
        arguments = [rng.normal(size=3001), rng.normal(size=300)]
        function = dmc.value_and_grad(dmc.loads(ORDERED).f, wrt=("x", "c"))
    else:
        arguments = [rng.normal(size=(2, 1030, 8)) for _ in range(3)]
        function = dmc.value_and_grad(dmc.loads(ATTENTION).f, wrt="q")
    compilation = function.compile(*arguments).compilation
    module = compilation.tensor.copy()
    for stage in (pipeline.derivatives, pipeline.optimize, pipeline.to_kernels):
        PassManager(stage([StreamRows.name])).run(module)
    whole = Compilation(compilation.tensor, compilation.entry)
    vars(whole)["kernels"] = module
    streamed = any(isinstance(op, control.For) for op in compilation.kernels.walk())
    assert streamed == (name == "within rows")
    found, expected = (each.executable(*arguments) for each in (compilation, whole))
    for a, b in zip(found, expected, strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


@pytest.mark.parametrize(("turned", "streamed"), [(False, True), (True, False)])
def test_rows_that_would_be_turned_first_are_counted(
    turned: bool, streamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A masked matrix: its rows lie one after the other, those of its transpose do not."""
    monkeypatch.setattr(stream_rows, "LEAST_SAVED", WORTH_IT)
    read = "p[u, t]" if turned else "p[t, u]"
    text = f"""
fn f[N, K](p: f32[N, N], v: f32[N, K]) -> f32[N, K] =
    [t, e] => sum[u](if u <= t {{ {read} * v[u, e] }} else {{ 0.0 }})
"""
    kernels = dmc.loads(text).f.specialize(N=1024, K=20).compilation.kernels
    assert any(isinstance(op, control.For) for op in kernels.walk()) == streamed


def test_under_a_budget_there_are_no_tiles_for_each_thread() -> None:
    """They would be memory that a budget does not count."""
    shaped = [np.zeros((8, 512, 8)) for _ in range(3)]
    function = dmc.value_and_grad(dmc.loads(ATTENTION).f, wrt=("q", "k", "v"), budget="1GB")
    kernels_ = function.compile(*shaped).compilation.kernels
    loops = [op for op in kernels_.walk() if isinstance(op, control.For)]
    assert loops
    assert not any(op.tasks for op in loops)
    carrying = next(op for op in loops if op.carried)
    carrying.attributes["tasks"] = True
    with pytest.raises(VerifyError, match="no tasks"):
        verify(kernels_)


def test_tiles_grow_until_they_save_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the rows are, their whole square is not kept."""
    monkeypatch.setattr(stream_rows, "LEAST_SAVED", WORTH_IT)
    monkeypatch.setattr(stream_rows, "LEAST_ROWS", 16)
    shaped = [np.zeros((1, 3000, 64)) for _ in range(3)]
    function = dmc.value_and_grad(dmc.loads(ATTENTION).f, wrt=("q", "k", "v"))
    module = function.compile(*shaped).compilation.tensor.copy()
    for stage in (pipeline.derivatives, pipeline.optimize):
        PassManager(stage()).run(module)
    passes = pipeline.to_kernels()
    passes = passes[: [each.name for each in passes].index(StreamRows.name)]
    PassManager([*passes, StreamRows(tile=1 << 16)]).run(module)
    largest = max(bytes_of(op.results[0]) for op in _kernels(module))
    assert largest < 3000 * 3000
