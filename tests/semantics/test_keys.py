"""Keys are followed as values: refused when one may be spent twice, accepted otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from dmc.diagnostics.errors import Error
from dmc.semantics.modules import check_text
from tests.semantics.running import run

S = "struct S {\n    k: Key\n    x: f64\n}\n\n"
TWICE = "fn twice(g: (f64) -> f64) -> f64 = g(1.0) + g(2.0)\n\n"
MODEL = "model M {\n    state k: Key = key\n"
DRAWS = "fn draws[N](k: Key) -> f64[N] = [i in 0..N] => uniform(fold(k, i))\n\n"


def body(*lines: str, head: str = "fn f(k: Key, c: bool) -> f64", before: str = "") -> str:
    return before + head + " {\n" + "".join(f"    {line}\n" for line in lines) + "}\n"


REFUSED = {
    "twice": body("uniform(k) + uniform(k)"),
    "another name": body("let j = k", "uniform(k) + uniform(j)"),
    "a tuple": body("let (a, b) = (k, k)", "uniform(a) + uniform(b)"),
    "a part of a tuple": body("let p = (k, 1.0)", "let (j, x) = p", "uniform(j) + x * uniform(k)"),
    "a field": S + "fn f(s: S) -> f64 = uniform(s.k) + uniform(s.k)\n",
    "a record made of it": body("let s = S(k = k, x = 1.0)", "uniform(s.k) + uniform(k)", before=S),
    "a changed copy of a record": body(
        "let s = S(k = k, x = 1.0)", "let t = s.with(x = 2.0)", "uniform(s.k) + uniform(t.k)",
        before=S,
    ),
    "the same key put back": body(
        "let s = S(k = fold(k, 1), x = 1.0)", "let t = s.with(k = k)", "uniform(t.k) + uniform(k)",
        before=S,
    ),
    "an array of records": body(
        "let a = [S(k = k, x = 1.0), S(k = k, x = 2.0)]", "a[0].x + a[1].x", before=S
    ),
    "one element of an array": body(
        "let a = [S(k = fold(k, 0), x = 1.0), S(k = fold(k, 1), x = 2.0)]",
        "uniform(a[0].k) + uniform(a[0].k)", before=S,
    ),
    "an array, run through twice": body(
        "let a = [S(k = fold(k, 0), x = 1.0), S(k = fold(k, 1), x = 2.0)]", "var t = 0.0",
        "for s in a { t += uniform(s.k) }", "for s in a { t += uniform(s.k) }", "t", before=S,
    ),
    "split and drawn from": body("let (a, b) = split(k)", "uniform(a) + uniform(b) + uniform(k)"),
    "split twice": body(
        "let (a, b) = split(k)", "let (d, e) = split(k)", "uniform(b) + uniform(e)"
    ),
    "a branch, then again": body("let a = if c { uniform(k) } else { 0.0 }", "a + uniform(k)"),
    "one of two": body("let j = if c { k } else { fold(k, 1) }", "uniform(j) + uniform(k)"),
    "one of two, the other way": body(
        "let j = if c { k } else { fold(k, 1) }", "uniform(k) + uniform(j)"
    ),
    "assigned in a branch": body(
        "var j = fold(k, 1)", "if c { j = k }", "uniform(j) + uniform(k)"
    ),
    "a method that draws from a key it keeps, passed on": MODEL
    + "    mut fn draw() -> f64 {\n        let (a, b) = split(k)\n        k = b\n"
    "        uniform(b)\n    }\n}\n\n"
    "fn twice(g: () -> f64) -> f64 = g() + g()\n\n"
    "fn f(var m: M) -> f64 = twice(m.draw)\n",
    "a builder": "fn f[N](k: Key) -> f64[N] = [i in 0..N] => uniform(k)\n",
    "a builder, the outer index": (
        "fn f[N, M](k: Key) -> f64[N, M] = [i in 0..N, j in 0..M] => uniform(fold(k, i))\n"
    ),
    "a builder, the inner index": (
        "fn f[N, M](k: Key) -> f64[N, M] = [i in 0..N, j in 0..M] => uniform(fold(k, j))\n"
    ),
    "a sum": "fn f[N](k: Key) -> f64 = sum[i in 0..N](uniform(k))\n",
    "a loop": body("var s = 0.0", "for t in 0..3 { s += uniform(k) }", "s"),
    "a while": body("var s = 0.0", "while s < 1.0 { s += uniform(k) }", "s"),
    "the condition of a while": body("var s = 0.0", "while s < uniform(k) { s += 1.0 }", "s"),
    "carried, the wrong half": body(
        "var key = k", "var s = 0.0", "for t in 0..3 {", "    let (a, b) = split(key)",
        "    s += uniform(a)", "    key = a", "}", "s",
    ),
    "carried through two variables": body(
        "var p = fold(k, 0)", "var q = fold(k, 1)", "var r = fold(k, 2)", "var s = 0.0",
        "for t in 0..9 {", "    s += uniform(p) + uniform(r)", "    r = q", "    q = p",
        "    p = fold(k, t + 3)", "}", "s",
    ),
    "turned round": body(
        "var p = fold(k, 0)", "var q = fold(k, 1)", "var s = 0.0",
        "for t in 0..9 {", "    s += uniform(p)", "    let o = p", "    p = q", "    q = o", "}",
        "s",
    ),
    "folded with one number twice": body("uniform(fold(k, 7)) + uniform(fold(k, 7))"),
    "folded with numbers computed alike": body(
        "uniform(fold(k, n + 1)) + uniform(fold(k, n + 1))", head="fn f(k: Key, n: i64) -> f64"
    ),
    "two loops over one range": body(
        "var s = 0.0", "for i in 0..3 { s += uniform(fold(k, i)) }",
        "for j in 0..3 { s += uniform(fold(k, j)) }", "s",
    ),
    "an inner loop's index only": body(
        "var s = 0.0", "for i in 0..3 {", "    for j in 0..4 { s += uniform(fold(k, j)) }", "}", "s"
    ),
    "two calls": DRAWS + "fn f[N](k: Key) -> f64[N] = draws[N](k) + draws[N](k)\n",
    "two calls, functions of their own": body(
        "one(k) + two(k)",
        before="fn one(k: Key) -> f64 = uniform(k)\nfn two(k: Key) -> f64 = uniform(k)\n\n",
    ),
    "a call that gives its key back": body(
        "let (x, j) = draw(k)", "x + uniform(j)",
        before="fn draw(k: Key) -> (f64, Key) = (uniform(k), k)\n\n",
    ),
    "a call that gives a folded key's origin back": body(
        "let (x, j) = draw(k)", "x + uniform(fold(j, 3))",
        before="fn draw(k: Key) -> (f64, Key) {\n    let (a, b) = split(k)\n"
        "    (uniform(fold(b, 3)), b)\n}\n\n",
    ),
    "one key for two": body(
        "both(k, k)", before="fn both(a: Key, b: Key) -> f64 = uniform(a) + uniform(b)\n\n"
    ),
    "one record for two": S
    + "fn one(s: S) -> f64 = s.x * uniform(s.k)\n\nfn f(s: S) -> f64 = one(s) + one(s)\n",
    "a method": (
        MODEL + "    fn draw() -> f64 = uniform(k)\n}\n\nfn f(m: M) -> f64 = m.draw() + m.draw()\n"
    ),
    "a function called twice": body("twice(fn(x) => x * uniform(k))", before=TWICE),
    "a function of functions of functions": body(
        "again(fn(x) => x * uniform(k))",
        before=TWICE + "fn again(g: (f64) -> f64) -> f64 = twice(fn(x) => g(x))\n\n",
    ),
    "a local function called twice": body(
        "let g = fn(x: f64) => x * uniform(k)", "g(1.0) + g(2.0)"
    ),
    "a local function and the key itself": body(
        "let g = fn(x: f64) => x * uniform(k)", "g(1.0) + uniform(k)"
    ),
    "a function called in a loop": body(
        "let g = fn(x: f64) => x * uniform(k)", "var s = 0.0", "for t in 0..3 { s += g(s) }", "s"
    ),
    "a function of a key, given one twice": body(
        "let g = fn(j: Key) => uniform(j)", "g(k) + g(k)"
    ),
    "a gradient and the value": body(
        "noisy(x, k) + grad(noisy)(x, k)", head="fn f(x: f64, k: Key) -> f64",
        before="fn noisy(x: f64, k: Key) -> f64 = x * uniform(k)\n\n",
    ),
    "an initializer": "model M[N] {\n    param w: f64[N] = normal(key) + normal(key)\n}\n",
    "a rule": (
        "fn g(x: f64, k: Key) -> f64 = x * uniform(k)\n\n"
        "derivative g(x, k) -> y {\n    jvp(dx) = dx * uniform(k) + dx * uniform(k)\n}\n"
    ),
}  # fmt: skip

ACCEPTED = {
    "carried by split": body(
        "var key = k", "var s = 0.0", "for t in 0..3 {", "    let (a, b) = split(key)",
        "    s += uniform(a)", "    key = b", "}", "s + uniform(key)",
    ),
    "carried by split, sometimes": body(
        "var key = k", "var s = 0.0", "for t in 0..3 {", "    if c {",
        "        let (a, b) = split(key)", "        s += uniform(a)", "        key = b", "    }",
        "}", "s + uniform(key)",
    ),
    "carried through a while": body(
        "var key = k", "var s = 0.0", "while s < 1.0 {", "    let (a, b) = split(key)",
        "    s += uniform(a)", "    key = b", "}", "s + uniform(key)",
    ),
    "carried in a record": body(
        "var s = S(k = k, x = 0.0)", "for t in 0..3 {", "    let (a, b) = split(s.k)",
        "    s = S(k = b, x = s.x + uniform(a))", "}", "s.x + uniform(s.k)", before=S,
    ),
    "carried in a field": body(
        "var s = S(k = k, x = 0.0)", "for t in 0..3 {", "    let (a, b) = split(s.k)",
        "    s.k = b", "    s.x += uniform(a)", "}", "s.x", before=S,
    ),
    "carried by a function": body(
        "var s = S(k = k, x = 0.0)", "for t in 0..3 { s = step(s) }", "s.x + uniform(s.k)",
        before=S + "fn step(s: S) -> S {\n    let (a, b) = split(s.k)\n"
        "    S(k = b, x = s.x + uniform(a))\n}\n\n",
    ),
    "carried through two variables": body(
        "var p = fold(k, -1)", "var q = fold(k, -2)", "var s = 0.0", "for t in 0..9 {",
        "    s += uniform(q)", "    q = p", "    p = fold(k, t)", "}",
        "s + uniform(p) + uniform(q)",
    ),
    "a var given a new key": body(
        "var j = fold(k, 0)", "let a = uniform(j)", "j = fold(k, 1)", "a + uniform(j)"
    ),
    "one branch or the other": body("if c { uniform(k) } else { normal(k) }"),
    "changed places in a branch": body(
        "let (a, b) = split(k)", "var p = a", "var q = b", "if c {", "    p = b", "    q = a", "}",
        "uniform(p) + uniform(q)",
    ),
    "another key in the branch that spends": body(
        "var j = k", "var s = 0.0", "if c {", "    s = uniform(k)", "    j = fold(k, 1)", "}",
        "s + uniform(j)",
    ),
    "folded with other numbers": body("uniform(fold(k, 7)) + uniform(fold(k, 8)) + uniform(k)"),
    "folded with another range": body(
        "var s = 0.0", "for i in 0..3 { s += uniform(fold(k, i)) }",
        "for j in 3..6 { s += uniform(fold(k, j)) }", "s",
    ),
    "folded twice in nested loops": body(
        "var s = 0.0", "for i in 0..3 {",
        "    for j in 0..4 { s += uniform(fold(fold(k, i), j)) }", "}", "s",
    ),
    "folded with both indexes": (
        "fn f[N, M](k: Key) -> f64[N, M] = [i in 0..N, j in 0..M] => uniform(fold(k, i * M + j))\n"
    ),
    "one index of an index": "fn f(k: Key) -> f64[1] = [i in 0..1] => uniform(k)\n",
    "calls with folded keys": DRAWS
    + "fn f[N](k: Key) -> f64[N] = draws[N](fold(k, 0)) + draws[N](fold(k, 1))\n",
    "a call that folds": body(
        "draw(k, 0) + draw(k, 1)",
        before="fn draw(k: Key, i: i64) -> f64 = uniform(fold(k, i))\n\n",
    ),
    "a call that only reads the record": S
    + "fn size(s: S) -> f64 = s.x\n\nfn f(s: S) -> f64 = size(s) * size(s) * uniform(s.k)\n",
    "a call that gives the key back": body(
        "let j = same(k)", "uniform(j)", before="fn same(k: Key) -> Key = k\n\n"
    ),
    "a function called once": body(
        "once(fn(x) => x * uniform(k))", before="fn once(g: (f64) -> f64) -> f64 = g(1.0)\n\n"
    ),
    "a function of a key": body(
        "let g = fn(j: Key) => uniform(j)", "let (a, b) = split(k)", "g(a) + g(b)"
    ),
    "a function that folds": body(
        "each(fn(i) => uniform(fold(k, i)))",
        before="fn each(g: (i64) -> f64) -> f64 = g(0) + g(1)\n\n",
    ),
    "an array of records": body(
        "let a = [S(k = fold(k, 0), x = 1.0), S(k = fold(k, 1), x = 2.0)]", "var t = 0.0",
        "for s in a { t += s.x * uniform(s.k) }", "t", before=S,
    ),
    "elements of an array": body(
        "let a = [S(k = fold(k, 0), x = 1.0), S(k = fold(k, 1), x = 2.0)]",
        "uniform(a[0].k) + uniform(a[1].k)", before=S,
    ),
    "two fields": (
        "model M[N] {\n    param w: f64[N] = normal(key)\n    param b: f64[N] = normal(key)\n}\n"
    ),
    "a method that changes its key": MODEL
    + "    mut fn draw() -> f64 {\n        let (a, b) = split(k)\n        k = b\n"
    "        uniform(a)\n    }\n}\n\n"
    "fn f(var m: M) -> f64 = m.draw() + m.draw()\n",
    "a method that changes its key, passed on": MODEL
    + "    mut fn draw() -> f64 {\n        let (a, b) = split(k)\n        k = b\n"
    "        uniform(a)\n    }\n}\n\n"
    "fn often(g: () -> f64, c: bool) -> f64 {\n    var s = g()\n"
    "    for t in 0..3 { s += if c { g() } else { g() + often2(g) } }\n    s\n}\n\n"
    "fn often2(g: () -> f64) -> f64 = g() + g()\n\n"
    "fn f(var m: M) -> f64 = often(m.draw, true) + often2(m.draw) + m.draw()\n",
    "a rule": (
        "fn g(x: f64, k: Key) -> f64 = x * uniform(k)\n\n"
        "derivative g(x, k) -> y {\n    jvp(dx) = dx * uniform(k)\n"
        "    vjp(dy) = dy * uniform(k)\n}\n"
    ),
}  # fmt: skip


@pytest.mark.parametrize("source", REFUSED.values(), ids=REFUSED.keys())
def test_refused(source: str) -> None:
    with pytest.raises(Error) as caught:
        check_text(source)
    assert {found.code for found in caught.value.diagnostics} == {"key.reused"}


@pytest.mark.parametrize("source", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted(source: str) -> None:
    check_text(source)


def test_a_carried_key_draws_what_splitting_by_hand_draws() -> None:
    by_hand = body(
        "let (a, k1) = split(k)", "let (b, k2) = split(k1)", "let (d, k3) = split(k2)",
        "uniform(a) + uniform(b) + uniform(d)", head="fn f(k: Key) -> f64",
    )  # fmt: skip
    carried = body(
        "var key = k", "var s = 0.0", "for t in 0..3 {", "    let (a, b) = split(key)",
        "    s += uniform(a)", "    key = b", "}", "s", head="fn f(k: Key) -> f64",
    )  # fmt: skip
    (wanted,), (got,) = (run(source, "f", k=np.int64(5)) for source in (by_hand, carried))
    assert 0 < wanted < 3
    np.testing.assert_allclose(got, wanted, rtol=1e-15)


def test_many_branches_and_loops() -> None:
    """Ways that meet are not multiplied out."""
    lines = ["var key = k", "var s = 0.0"]
    for i in range(60):
        lines += ["if c {", f"    let (a{i}, b{i}) = split(key)", f"    s += uniform(a{i})",
                  f"    key = b{i}", "}"]  # fmt: skip
    for i in range(20):
        lines += [f"for t{i} in 0..3 {{", f"    let (d{i}, e{i}) = split(key)",
                  f"    s += uniform(d{i})", f"    key = e{i}", "}"]  # fmt: skip
    check_text(body(*lines, "s + uniform(key)"))
    with pytest.raises(Error, match="already spent"):
        check_text(body(*lines, "s + uniform(k)"))


def test_a_key_in_a_record_is_named_by_its_path() -> None:
    text = """
struct Noise { key: Key; scale: f64 }
struct State { noise: Noise; x: f64 }
fn draw(s: State) -> f64 = s.x + s.noise.scale * normal(s.noise.key)
fn twice(s: State) -> f64 = draw(s) + draw(s)
"""
    with pytest.raises(Error, match=r"`s\.noise\.key` is already spent") as caught:
        check_text(text)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.help == ("`let (k1, k2) = split(s.noise.key)`",)


def test_messages_tell_what_repeats() -> None:
    titles = {
        "another name": "`j` is already spent",
        "a loop": "`k` is spent in every iteration",
        "a function called twice": "`k` is spent each time the function is called",
        "a record made of it": "`k` is already spent",
    }
    for name, title in titles.items():
        with pytest.raises(Error, match=title):
            check_text(REFUSED[name])
