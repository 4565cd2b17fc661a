"""Which indexes are known to be inside, and what is made of the others."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

import dmc
from dmc.dialects import func
from dmc.driver import Compilation
from dmc.ir import Interpreter, verify
from dmc.transforms import pipeline
from dmc.transforms.trap_indexes import Fault, TrapIndexes, unproved_indexes

INSIDE = {
    "an index of the builder": "[k in 0..N] => x[k]",
    "conditions": "[k in 0..N] => if k > 0 { x[k - 1] } else { 0.0 }",
    "the other branch": "[k in 0..N] => if k < 1 { 0.0 } else { x[k - 1] }",
    "both of two": "[k in 0..N] => if i[k] >= 0 and i[k] < N { x[i[k]] } else { 0.0 }",
    "neither of two": "[k in 0..N] => if i[k] < 0 or N <= i[k] { 0.0 } else { x[i[k]] }",
    "not": "[k in 0..N] => if not (k == 0) and not (k < 1) { x[k - 1] } else { 0.0 }",
    "a sum that is compared": "[k in 0..N] => if k + 2 < N { x[k + 2] } else { 0.0 }",
    "conditions in conditions": (
        "[k in 0..N] => if i[k] > 2 { if i[k] < N { x[i[k] - 2] } else { 0.0 } } else { 0.0 }"
    ),
    "clamps": "[k in 0..N] => x[minimum(maximum(k - 3, 0), N - 1)]",
    "remainders": "[k in 0..N] => x[(i[k] + 5) % N]",
    "quotients": "[k in 0..N] => x[k // 2]",
    "a chosen index": "[k in 0..N] => x[if k > 0 { k - 1 } else { 0 }]",
    "where": "[k in 0..N] => x[where(i[k] > 3, 2, 1)]",
    "places": "x[argsort[0](x)]",
    "the largest": "[k in 0..N] => x[argmax(x)]",
    "functions": "[k in 0..N] => at(x, k)",
}
OUTSIDE = {
    "data": "[k in 0..N] => x[i[k]]",
    "too weak a condition": "[k in 0..N] => if i[k] < N { x[i[k]] } else { 0.0 }",
    "the wrong branch": "[k in 0..N] => if i[k] < 0 or N <= i[k] { x[i[k]] } else { 0.0 }",
    "either of two": "[k in 0..N] => if i[k] >= 0 or i[k] < N { x[i[k]] } else { 0.0 }",
    "one too far": "[k in 0..N] => if k + 2 <= N { x[k + 2] } else { 0.0 }",
    "another index": "[k in 0..N] => if i[k] >= 0 and i[k] < N { x[i[0]] } else { 0.0 }",
    "an equal one apart": "[k in 0..N] => if not (k == 0) { x[k - 2] } else { 0.0 }",
    "a number that may wrap": (
        "[k in 0..N] => if 0 <= i32(i[k]) and i32(i[k]) < 5 { x[i[k]] } else { 0.0 }"
    ),
    "a remainder by data": "[k in 0..N] => x[k % i[0]]",
}


def prepared(body: str) -> Compilation:
    program = dmc.loads(
        "fn at[N](x: f64[N], k: i64) -> f64 = x[k]\n"
        f"fn f[N](x: f64[N], i: i64[N]) -> f64[N] = {body}\n"
    )
    return program.f.compile(N=5).compilation


@pytest.mark.parametrize("body", INSIDE.values(), ids=INSIDE.keys())
def test_known_to_be_inside(body: str) -> None:
    assert not prepared(body).index_uses


@pytest.mark.parametrize("body", OUTSIDE.values(), ids=OUTSIDE.keys())
def test_not_known_to_be_inside(body: str) -> None:
    assert [use.size for use in prepared(body).index_uses] == [5]


LOOPS = {
    "up": ("var k = 0", "while k < 5 { s = s + x[k]\n k = k + 1 }", 0),
    "down": ("var k = 4", "while k >= 0 { s = s + x[k]\n k = k - 1 }", 0),
    "too far": ("var k = 0", "while k <= 5 { s = s + x[k]\n k = k + 1 }", 1),
    "from data": ("var k = i[0]", "while k < 5 { s = s + x[k]\n k = k + 1 }", 1),
    "by data": ("var k = 0", "while k < 5 { s = s + x[k]\n k = k + i[0] }", 1),
    "in the condition": ("var k = 0", "while x[k] < 2.0 { k = k + 1 }\n s = f64(k)", 1),
    "a cursor": ("var k = 0", "for n in 0..9 { s = s + x[k]\n k = minimum(k + 1, 4) }", 0),
    "by each other": (
        "var k = 0\n var m = 1",
        "while k < 5 { s = s + x[k]\n let n = k + m\n k = m\n m = n }",
        0,
    ),
    "down by each other": (
        "var k = 0\n var m = 1",
        "while k < 5 { s = s + x[k]\n let n = k - 1\n k = m\n m = n }",
        1,
    ),
    "a triangle": ("", "for n in 0..5 { for k in n + 1..5 { s = s + x[k] - x[k - n - 1] } }", 0),
    "a triangle of three": (
        "",
        "for n in 0..5 { for m in 0..n + 1 { for k in m..n + 1 { s = s + x[n - k] - x[k - m] } } }",
        0,
    ),
    "a band": (
        "",
        "for n in 0..5 { "
        "for k in maximum(0, n - 2)..minimum(n + 3, 5) { s = s + x[k] - x[n - k + 2] } }",
        0,
    ),
    "a band too wide": (
        "",
        "for n in 0..5 { for k in maximum(0, n - 2)..n + 1 { s = s + x[n - k + 3] } }",
        1,
    ),
    "a triangle too far": ("", "for n in 0..5 { for k in n..5 { s = s + x[k + 1] } }", 1),
    "up to data": ("", "for k in 0..i[0] { s = s + x[i[0] - 1 - k] }", 1),
    "in a branch": ("", "for k in 0..i[0] { if i[0] < 6 { s = s + x[i[0] - 1 - k] - x[k] } }", 0),
    "behind": ("var k = 0", "for n in 0..9 { k = k + 1 }\n s = x[k]", 1),
}


@pytest.mark.parametrize(("start", "loop", "count"), LOOPS.values(), ids=LOOPS.keys())
def test_loops(start: str, loop: str, count: int) -> None:
    text = f"fn f(x: f64[5], i: i64[5]) -> f64 {{\n {start}\n var s = 0.0\n {loop}\n s\n}}\n"
    program = dmc.loads(text.replace("\n ", "\n    "))
    assert len(program.f.compile().compilation.index_uses) == count


def test_what_random_triangles_read_outside_is_not_taken_to_be_inside() -> None:
    """Loops whose ends follow from those around, against all that they read."""
    random, counts = Random(3), {True: 0, False: 0}
    for _ in range(120):
        names, code, generator = [], "", ""
        for depth in range(random.randint(2, 3)):
            ends = [
                "0",
                *(f"{random.choice((-1, 1))} * {n} + {random.randint(0, 5)}" for n in names),
            ]
            low = random.choice([*ends, f"maximum(0, {ends[-1]})"])
            high = random.choice(
                [*[e for e in (*ends, "5") if e != low], f"minimum(5, {ends[-1]})"]
            )
            names.append(f"k{depth}")
            code += f"for k{depth} in {low}..{high} {{ "
            generator += f" for k{depth} in range({low}, {high})"
        at = " + ".join(f"{random.choice((-1, 0, 1, 1))} * {n}" for n in names)
        at += f" + {random.randint(-1, 4)}"
        text = f"fn f(x: f64[5]) -> f64 {{\n    var s = 0.0\n    {code}s = s + x[{at}]"
        try:
            program = dmc.loads(text + " }" * len(names) + "\n    s\n}\n")
        except dmc.IndexError:
            continue  # what constants read is known without running
        proved = not program.f.specialize().compilation.index_uses
        inside = all(eval(f"[0 <= {at} < 5{generator}]", {"minimum": min, "maximum": max}))
        assert inside or not proved, text
        counts[proved] += 1
    assert min(counts.values()) > 10


def test_faults_leave_loops_branches_and_functions() -> None:
    program = dmc.loads("""
fn inner[N](x: f64[N], k: i64) -> f64 = x[k]
fn outer[N](x: f64[N], i: i64[4]) -> f64 {
    var total = 0.0
    for n in 0..4 {
        if i[n] != 3 { total = total + sum[m in 0..2](inner(x, i[n] + m)) }
    }
    total + grad(inner)(x, i[0] + 2)[0]
}
""")
    module = program.outer.compile(N=5).compilation.inlined.copy()
    uses = unproved_indexes(module)
    for item in (TrapIndexes(), *pipeline.derivatives()):
        item.run(module)
        verify(module)
    function = func.lookup(module, "outer")

    def fault(*indexes: int) -> Fault | None:
        given = [np.arange(5.0), np.array(indexes, np.int64)]
        code = int(Interpreter(module).call(function.sym_name, given)[-1])
        return Fault.read(code) if code else None

    assert fault(0, 1, 3, 2) is None
    for indexes, wrong in (((0, 4, 3, 2), 5), ((0, -1, 3, 2), -1)):
        found = fault(*indexes)
        assert found is not None
        assert (uses[found.use].size, found.index) == (5, wrong)
