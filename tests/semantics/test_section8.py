"""The diagnostics that the language's document shows, to the letter."""

from __future__ import annotations

from pathlib import Path

import pytest

from dmc.diagnostics.errors import Error
from dmc.semantics.modules import check_text

CASES = {
    "shape.matmul": (
        """\
fn score[B, D, H](x: f32[B, D], w: f32[H, D]) -> f32[B, H] =
    x @ w
""",
        """\
error[shape.matmul]: `@` contracts D with H
 --> m.dm:2:5
 2 |     x @ w
   |     ^^^^^ x is f32[B, D], w is f32[H, D]
help: contract the D axes: `x @ w.T`""",
    ),
    "shape.broadcast": (
        "fn center[B, D](x: f32[B, D]) -> f32[B, D] = x - mean[D](x)\n",
        """\
error[shape.broadcast]: f32[B, D] and f32[B] do not broadcast
 --> m.dm:1:46
 1 | fn center[B, D](x: f32[B, D]) -> f32[B, D] = x - mean[D](x)
   |                                              ^^^^^^^^^^^^^^ [B] is not a suffix of [B, D]
help: spread the mean over D: `x - mean[D](x)[:, _]`""",
    ),
    "shape.unproved": (
        "fn heads[T, D, H](x: f32[T, D]) -> f32[T, H, D / H] = reshape[T, H, D / H](x)\n",
        """\
error[shape.unproved]: cannot prove that H divides D
 --> m.dm:1:46
 1 | fn heads[T, D, H](x: f32[T, D]) -> f32[T, H, D / H] = reshape[T, H, D / H](x)
   |                                              ^^^^^ not a size when D = 1, H = 2
help: make it the caller's duty: `requires D % H == 0`""",
    ),
    "index.range": (
        "fn dot[N, M](x: f64[N], y: f64[M]) -> f64 = sum[i](x[i] * y[i])\n",
        """\
error[index.range]: index `i` has two ranges
 --> m.dm:1:59
 1 | fn dot[N, M](x: f64[N], y: f64[M]) -> f64 = sum[i](x[i] * y[i])
   |                                                           ^^^^ 0..M here
   |                                                    ---- 0..N here
help: declare one size, `y: f64[N]`, or choose: `sum[i in 0..N]`""",
    ),
    "index.bounds": (
        "fn diff[N](x: f64[N]) -> f64[N - 1] = [i] => x[i + 1] - x[i]\n",
        """\
error[index.bounds]: `x[i + 1]` reads past the end
 --> m.dm:1:48
 1 | fn diff[N](x: f64[N]) -> f64[N - 1] = [i] => x[i + 1] - x[i]
   |                                                         ---- `i` is in 0..N because of this
   |                                                ^^^^^ reaches N; the axis ends at N - 1
help: give the range: `[i in 0..N - 1] => ...`""",
    ),
    "type.mixed": (
        "fn scale[N](x: f32[N], h: f64) -> f32[N] = 2.0 * x * h\n",
        """\
error[type.mixed]: f32 and f64 do not mix
 --> m.dm:1:54
 1 | fn scale[N](x: f32[N], h: f64) -> f32[N] = 2.0 * x * h
   |                                                      ^ f64
   |                                            ------- f32[N]
help: convert one side: `f32(h)` (literals adapt; values never do)""",
    ),
    "grad.zero": (
        """\
fn hits[B, K](w: f32[K], x: f32[B, K], y: i32[B]) -> f32 =
    mean(f32(argmax[K](x * w) == y))

fn slope[B, K](w: f32[K], x: f32[B, K], y: i32[B]) -> f32[K] = grad(hits)(w, x, y)
""",
        """\
error[grad.zero]: the derivative of `hits` in `w` is zero everywhere
 --> m.dm:4:64
 2 |     mean(f32(argmax[K](x * w) == y))
   |              ---------------- `w` reaches the result only through this
 4 | fn slope[B, K](w: f32[K], x: f32[B, K], y: i32[B]) -> f32[K] = grad(hits)(w, x, y)
   |                                                                ^^^^^^^^^^ asked for here
help: differentiate a smooth loss, such as `cross_entropy(x * w, y)`""",
    ),
    "key.reused": (
        """\
fn pair[N](key: Key) -> f64[2, N] {
    let a = normal[N](key)
    let b = normal[N](key)
    [a, b]
}
""",
        """\
error[key.reused]: `key` is already spent, so `b` would equal `a`
 --> m.dm:3:23
 2 |     let a = normal[N](key)
   |                       --- first use
 3 |     let b = normal[N](key)
   |                       ^^^ second use
help: `let (k1, k2) = split(key)`""",
    ),
    "value.unused": (
        """\
fn gap(a: f64, b: f64) -> f64 {
    a
    - b
}
""",
        """\
error[value.unused]: the value of `a` is unused
 --> m.dm:2:5
 2 |     a
   |     ^ a statement on its own
 3 |     - b
   |     --- a new statement: same indentation
help: indent `- b` to continue the line above""",
    ),
    "loop.type": (
        """\
fn tile[N, R](x: f64[N]) -> f64[R, N] {
    var y = x
    for _ in 0..R { y = concat[0](y, x) }
    y
}
""",
        """\
error[loop.type]: `y` changes shape from one iteration to the next
 --> m.dm:3:21
 2 |     var y = x
   |     --------- f64[N]
 3 |     for _ in 0..R { y = concat[0](y, x) }
   |                     ^^^^^^^^^^^^^^^^^^^ f64[2 * N]
help: end the loop body with `x`; the loop's value is the stack f64[R, N]""",
    ),
}


@pytest.mark.parametrize(("source", "text"), CASES.values(), ids=CASES.keys())
def test_diagnostic(source: str, text: str) -> None:
    with pytest.raises(Error) as caught:
        check_text(source)
    assert str(caught.value) == text


STATEFUL = """\
model Counter[K] {
    param w: f32[K] = ones
    state seen: i64 = 0

    mut fn forward(x: f32[K]) -> f32[K] {
        seen += 1
        x * w
    }
}
"""


def test_immutable_state(tmp_path: Path) -> None:
    (tmp_path / "counter.dm").write_text(STATEFUL)
    source = """\
from counter import Counter

fn predict(net: Counter, x: f32[net.K]) -> f32[net.K] =
    net(x)
"""
    with pytest.raises(Error) as caught:
        check_text(source, folder=tmp_path)
    assert (
        str(caught.value)
        == """\
error[state.immutable]: this call may update the state of `net`
 --> m.dm:4:5
 3 | fn predict(net: Counter, x: f32[net.K]) -> f32[net.K] =
   |            --- not a `var`
 4 |     net(x)
   |     ^^^^^^ `forward` is a `mut fn`
help: take a private copy: `fn predict(var net: Counter, ...)`"""
    )
