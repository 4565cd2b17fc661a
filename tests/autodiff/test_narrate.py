"""The text of an adjoint quotes the source, and is still the program."""

from __future__ import annotations

import numpy as np

import dmc
from dmc.driver import Compilation, Stage
from dmc.ir import Array, Interpreter
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
    kept = (
        "//   keeps %9 (d > 0.0), %10 (sin(exp(d))), %s_tape, %11 (exp(d)) for the reverse pass: "
    )
    assert any(line.startswith(kept) for line in said)
    assert "// again, line 4: let d = w * x[t]" in said
    assert "%t_1: tensor<i64>, %s_bar" in text


def test_the_text_is_the_program() -> None:
    """It is read back, and runs to the same bits as the text without comments."""
    rng = np.random.default_rng(0)
    cases: list[tuple[Compilation, list[Array]]] = [
        (
            compilation(RECURRENT, T=5, H=3),
            [rng.normal(size=(3, 3)), rng.normal(size=(5, 3)), np.array(1.0)],
        ),
        (compilation(BRANCHES, T=6), [np.array(0.7), rng.normal(size=6), np.array(1.0)]),
    ]
    for made, arguments in cases:
        text = made.ir(Stage.ADJOINT)
        parsed = parse_module(text)
        bare = "".join(f"{line}\n" for line in text.splitlines() if "//" not in line)
        assert print_module(parsed) == bare
        plain = parse_module(made.ir(Stage.ADJOINT, generic=True))
        results = [Interpreter(m).call("loss_adjoint", arguments) for m in (parsed, plain)]
        for one, other in zip(*results, strict=True):
            assert one.tobytes() == other.tobytes()
