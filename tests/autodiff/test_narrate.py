"""The text of an adjoint quotes the source, and is still the program."""

from __future__ import annotations

import numpy as np
import pytest

import dmc
from dmc.dialects import func
from dmc.driver import Compilation, Stage
from dmc.ir import Interpreter, shape_of
from dmc.ir.parser import parse_module
from dmc.ir.printer import print_module

RECURRENT = """fn loss[T, H](w: f64[H, H], x: f64[T, H]) -> f64 {
    var h = zeros[H]
    for t in 0..T {
        h = tanh(h @ w + x[t])
    }
    let e = h - 1.0
    sum(e * e)
}
"""

BRANCHES = """fn loss[T](w: f64, x: f64[T]) -> f64 {
    var s = 1.0
    for t in 0..T {
        let d = w * x[t]
        if d > 0.0 { s = s * sin(exp(d)) }
    }
    s
}
"""


def compilation(text: str, **sizes: int) -> Compilation:
    return dmc.loads(text).loss.specialize(**sizes).compilation


def comments(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip().startswith("//")]


def test_lines_passes_and_what_is_kept() -> None:
    assert comments(compilation(RECURRENT, T=5, H=3).ir(Stage.ADJOINT)) == [
        "// ==== forward",
        "// line 2: var h = zeros[H]",
        "// line 3: for t in 0..T {",
        "//   keeps %h_tape, %h_tape_1 for the reverse pass: 240 bytes",
        "// line 4: h = tanh(h @ w + x[t])",
        "// line 6: let e = h - 1.0",
        "// line 7: sum(e * e)",
        "// ==== reverse",
        "//   reads %h_tape, %h_tape_1, %e of the forward pass: 264 bytes",
        "// back through line 7: sum(e * e)",
        "// back through line 3: for t in 0..T {",
        "// back through line 4: h = tanh(h @ w + x[t])",
    ]


def test_what_is_kept_without_a_name_and_what_runs_again() -> None:
    text = compilation(BRANCHES, T=6).ir(Stage.ADJOINT)
    said = comments(text)
    kept = "//   keeps %8 (d > 0.0), %9 (sin(exp(d))), %s_tape, %10 (exp(d)) for the reverse pass: "
    assert any(line.startswith(kept) for line in said)
    assert "// again, line 4: let d = w * x[t]" in said
    assert "%t_1: tensor<i64>, %s_bar" in text


# Programs with what each is differentiated in; every input is a vector or matrix of 3, or a number.
PROGRAMS = {
    "recurrent": (RECURRENT, "w x"),
    "branches": (BRANCHES, "w x"),
    "attention": (
        "fn loss(q: f64[3, 3], k: f64[3, 3], v: f64[3, 3]) -> f64 {\n"
        "    let s: f64[3, 3] = [i, j] => if j <= i { q[i] @ k[j] } else { -inf }\n"
        "    sum((softmax[-1](s) @ v) ** 2)\n}\n",
        "q k v",
    ),
    "weights": (
        "fn loss(x: f64[3], m: f64[3]) -> f64 =\n"
        "    sum(softmax[0](where(m > 0.0, x, -inf)) * exp(x) + where(m > 0.0, log(x), 0.0))\n",
        "x m",
    ),
    "a masked product": (
        "fn loss(p: f64[3, 3], v: f64[3, 3]) -> f64 =\n"
        "    sum([t, e] => sum[u](if u <= t { p[t, u] * v[u, e] } else { 0.0 }))\n",
        "p v",
    ),
    "a root at 0": (
        "fn loss(x: f64[3]) -> f64 =\n"
        "    sum(where(x > 0.0, sqrt(x), 0.0)) + sqrt(maximum(sum(x), 0.0))\n",
        "x",
    ),
    "while": (
        "fn loss(a: f64, x: f64[3]) -> f64 {\n    var s = 0.1 * a\n    var n = 0\n"
        "    while s < 9.0 and n < 9 {\n        s = s * 1.5 + x[0] * x[1]\n        n += 1\n    }\n"
        "    s\n}\n",
        "a x",
    ),
    "a segmented loop": (
        "fn loss(x: f64[3]) -> f64 {\n    var h = x\n"
        "    checkpoint for i in 0..9 { h = sin(h) * x }\n    sum(h)\n}\n",
        "x",
    ),
    "gathers": (
        "fn loss(x: f64[3, 3]) -> f64 {\n    var d = x\n    let ids = argsort[0](x[0])\n"
        "    d[ids, 1] *= x[ids, 2]\n    d[ids, ids] += x[0]\n    sum(max[0](d) ** 2)\n}\n",
        "x",
    ),
    "records": (
        "struct L {\n    w: f64[3, 3]\n    b: f64[3]\n}\n"
        "fn run(l: L, x: f64[3]) -> f64 = sum(tanh(x @ l.w + l.b))\n"
        "fn loss(w: f64[3, 3], x: f64[3]) -> f64 = run(L(w = w, b = x), x)\n",
        "w x",
    ),
    "a rule": (
        "fn clip(x: f64[3]) -> f64[3] = minimum(x, 1.0)\n"
        "derivative unchecked clip(x) -> y { vjp(dy) = dy }\n"
        "fn loss(x: f64[3]) -> f64 = sum(clip(x) ** 2)\n",
        "x",
    ),
    "a factorization": (
        "fn loss(a: f64[3, 3], b: f64[3]) -> f64 =\n"
        "    sum(solve(a @ a.T + eye[3](), b) ** 2) + logdet(a @ a.T + eye[3]())\n",
        "a b",
    ),
    "a loop in a map": (
        "fn loss(x: f64[3], y: f64[3]) -> f64 = sum([i in 0..3] => {\n    var s = x[i]\n"
        "    for j in 0..i { if y[j] > 0.0 { s = s * log(y[j]) } else { s += y[j] } }\n    s\n})\n",
        "x y",
    ),
    "scans": (
        "fn loss(x: f64[3]) -> f64 = logsumexp[0](x) + sum(cumprod[0](x) * cumsum[0](x))\n",
        "x",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_text_is_the_program(name: str) -> None:
    """It reads back as it was, and gives what the gradient gives, of infinities and NaN too."""
    source, wrt = PROGRAMS[name]
    loss = dmc.loads(source).loss
    sizes = {generic: 3 for generic in "TH" if f"[{generic}" in source or f", {generic}]" in source}
    text = loss.specialize(**sizes).ir("adjoint")
    parsed = parse_module(text)
    bare = "".join(f"{line}\n" for line in text.splitlines() if not line.strip().startswith("//"))
    assert print_module(parsed) == bare
    gradient = dmc.value_and_grad(loss, wrt=tuple(wrt.split())).specialize(**sizes)
    wanted = parse_module(gradient.ir("adjoint"))
    (adjoint,) = (f for f in func.functions(parsed) if not f.is_private)
    (entry,) = (f for f in func.functions(wanted) if not f.is_private)
    rng = np.random.default_rng(0)
    for special in (0.3, 0.0, np.inf, np.nan):
        arguments = [np.asarray(rng.normal(size=shape_of(a.type))) for a in entry.body.args]
        for argument in arguments:
            argument.flat[-1] = special if argument.shape else 1.0
        with np.errstate(all="ignore"):
            values = Interpreter(wanted).call(entry.sym_name, arguments)
            got = Interpreter(parsed).call(adjoint.sym_name, [*arguments, np.array(1.0)])
        for one, other in zip(got, values, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-14)
