# ruff: noqa: E501 - quoted output is as wide as it is
"""The renderer reproduces the agreed layout to the letter (docs: the diagnostics chapter)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from dmc.diagnostics import render
from dmc.diagnostics.diagnostic import Diagnostic, Label
from dmc.ir.location import SourceFile, Span


@dataclass(frozen=True)
class Case:
    text: str
    diagnostic: Diagnostic
    expected: str


def at(line: int, column: int, length: int, text: str) -> Label:
    return Label(Span(SourceFile("m.dm"), line, column, line, column + length), text)


CASES = [
    Case(
        text=("fn score[B, D, H](x: f32[B, D], w: f32[H, D]) -> f32[B, H] =\n    x @ w\n"),
        diagnostic=Diagnostic(
            "shape.matmul",
            "`@` contracts D with H",
            at(2, 5, 5, "x is f32[B, D], w is f32[H, D]"),
            help=("contract the D axes: `x @ w.T`",),
        ),
        expected=(
            "error[shape.matmul]: `@` contracts D with H\n"
            " --> m.dm:2:5\n"
            " 2 |     x @ w\n"
            "   |     ^^^^^ x is f32[B, D], w is f32[H, D]\n"
            "help: contract the D axes: `x @ w.T`"
        ),
    ),
    Case(
        text=("fn center[B, D](x: f32[B, D]) -> f32[B, D] = x - mean[D](x)\n"),
        diagnostic=Diagnostic(
            "shape.broadcast",
            "f32[B, D] and f32[B] do not broadcast",
            at(1, 46, 14, "[B] is not a suffix of [B, D]"),
            help=("spread the mean over D: `x - mean[D](x)[:, _]`",),
        ),
        expected=(
            "error[shape.broadcast]: f32[B, D] and f32[B] do not broadcast\n"
            " --> m.dm:1:46\n"
            " 1 | fn center[B, D](x: f32[B, D]) -> f32[B, D] = x - mean[D](x)\n"
            "   |                                              ^^^^^^^^^^^^^^ [B] is not a suffix of [B, D]\n"
            "help: spread the mean over D: `x - mean[D](x)[:, _]`"
        ),
    ),
    Case(
        text=("fn heads[T, D, H](x: f32[T, D]) -> f32[T, H, D / H] = reshape[T, H, D / H](x)\n"),
        diagnostic=Diagnostic(
            "shape.unproved",
            "cannot prove that H divides D",
            at(1, 46, 5, "not a size when D = 1, H = 2"),
            help=("make it the caller's duty: `requires D % H == 0`",),
        ),
        expected=(
            "error[shape.unproved]: cannot prove that H divides D\n"
            " --> m.dm:1:46\n"
            " 1 | fn heads[T, D, H](x: f32[T, D]) -> f32[T, H, D / H] = reshape[T, H, D / H](x)\n"
            "   |                                              ^^^^^ not a size when D = 1, H = 2\n"
            "help: make it the caller's duty: `requires D % H == 0`"
        ),
    ),
    Case(
        text=("fn dot[N, M](x: f64[N], y: f64[M]) -> f64 = sum[i](x[i] * y[i])\n"),
        diagnostic=Diagnostic(
            "index.range",
            "index `i` has two ranges",
            at(1, 59, 4, "0..M here"),
            labels=(at(1, 52, 4, "0..N here"),),
            help=("declare one size, `y: f64[N]`, or choose: `sum[i in 0..N]`",),
        ),
        expected=(
            "error[index.range]: index `i` has two ranges\n"
            " --> m.dm:1:59\n"
            " 1 | fn dot[N, M](x: f64[N], y: f64[M]) -> f64 = sum[i](x[i] * y[i])\n"
            "   |                                                           ^^^^ 0..M here\n"
            "   |                                                    ---- 0..N here\n"
            "help: declare one size, `y: f64[N]`, or choose: `sum[i in 0..N]`"
        ),
    ),
    Case(
        text=("fn diff[N](x: f64[N]) -> f64[N - 1] = [i] => x[i + 1] - x[i]\n"),
        diagnostic=Diagnostic(
            "index.bounds",
            "`x[i + 1]` reads past the end",
            at(1, 48, 5, "reaches N; the axis ends at N - 1"),
            labels=(at(1, 57, 4, "`i` is in 0..N because of this"),),
            help=("give the range: `[i in 0..N - 1] => ...`",),
        ),
        expected=(
            "error[index.bounds]: `x[i + 1]` reads past the end\n"
            " --> m.dm:1:48\n"
            " 1 | fn diff[N](x: f64[N]) -> f64[N - 1] = [i] => x[i + 1] - x[i]\n"
            "   |                                                         ---- `i` is in 0..N because of this\n"
            "   |                                                ^^^^^ reaches N; the axis ends at N - 1\n"
            "help: give the range: `[i in 0..N - 1] => ...`"
        ),
    ),
    Case(
        text=("fn scale[N](x: f32[N], h: f64) -> f32[N] = 2.0 * x * h\n"),
        diagnostic=Diagnostic(
            "type.mixed",
            "f32 and f64 do not mix",
            at(1, 54, 1, "f64"),
            labels=(at(1, 44, 7, "f32[N]"),),
            help=("convert one side: `f32(h)` (literals adapt; values never do)",),
        ),
        expected=(
            "error[type.mixed]: f32 and f64 do not mix\n"
            " --> m.dm:1:54\n"
            " 1 | fn scale[N](x: f32[N], h: f64) -> f32[N] = 2.0 * x * h\n"
            "   |                                                      ^ f64\n"
            "   |                                            ------- f32[N]\n"
            "help: convert one side: `f32(h)` (literals adapt; values never do)"
        ),
    ),
    Case(
        text=(
            "fn hits[B, K](w: f32[K], x: f32[B, K], y: i32[B]) -> f32 =\n"
            "    mean(f32(argmax[K](x * w) == y))\n"
            "\n"
            "fn slope[B, K](w: f32[K], x: f32[B, K], y: i32[B]) -> f32[K] = grad(hits)(w, x, y)\n"
        ),
        diagnostic=Diagnostic(
            "grad.zero",
            "the derivative of `hits` in `w` is zero everywhere",
            at(4, 64, 10, "asked for here"),
            labels=(at(2, 14, 16, "`w` reaches the result only through this"),),
            help=("differentiate a smooth loss, such as `cross_entropy(x * w, y)`",),
        ),
        expected=(
            "error[grad.zero]: the derivative of `hits` in `w` is zero everywhere\n"
            " --> m.dm:4:64\n"
            " 2 |     mean(f32(argmax[K](x * w) == y))\n"
            "   |              ---------------- `w` reaches the result only through this\n"
            " 4 | fn slope[B, K](w: f32[K], x: f32[B, K], y: i32[B]) -> f32[K] = grad(hits)(w, x, y)\n"
            "   |                                                                ^^^^^^^^^^ asked for here\n"
            "help: differentiate a smooth loss, such as `cross_entropy(x * w, y)`"
        ),
    ),
    Case(
        text=(
            "fn pair[N](key: Key) -> f64[2, N] {\n"
            "    let a = normal[N](key)\n"
            "    let b = normal[N](key)\n"
            "    [a, b]\n"
            "}\n"
        ),
        diagnostic=Diagnostic(
            "key.reused",
            "`key` is already spent, so `b` would equal `a`",
            at(3, 23, 3, "second use"),
            labels=(at(2, 23, 3, "first use"),),
            help=("`let (k1, k2) = split(key)`",),
        ),
        expected=(
            "error[key.reused]: `key` is already spent, so `b` would equal `a`\n"
            " --> m.dm:3:23\n"
            " 2 |     let a = normal[N](key)\n"
            "   |                       --- first use\n"
            " 3 |     let b = normal[N](key)\n"
            "   |                       ^^^ second use\n"
            "help: `let (k1, k2) = split(key)`"
        ),
    ),
    Case(
        text=(
            "from lenet import LeNet\n"
            "\n"
            "fn predict(net: LeNet, img: f32[1, 28, 28, 1]) -> f32[1, net.K] =\n"
            "    net(img, false)\n"
        ),
        diagnostic=Diagnostic(
            "state.immutable",
            "this call may update the state of `net`",
            at(4, 5, 15, "`forward` is a `mut fn`"),
            labels=(at(3, 12, 3, "not a `var`"),),
            help=("take a private copy: `fn predict(var net: LeNet, ...)`",),
        ),
        expected=(
            "error[state.immutable]: this call may update the state of `net`\n"
            " --> m.dm:4:5\n"
            " 3 | fn predict(net: LeNet, img: f32[1, 28, 28, 1]) -> f32[1, net.K] =\n"
            "   |            --- not a `var`\n"
            " 4 |     net(img, false)\n"
            "   |     ^^^^^^^^^^^^^^^ `forward` is a `mut fn`\n"
            "help: take a private copy: `fn predict(var net: LeNet, ...)`"
        ),
    ),
    Case(
        text=("fn gap(a: f64, b: f64) -> f64 {\n    a\n    - b\n}\n"),
        diagnostic=Diagnostic(
            "value.unused",
            "the value of `a` is unused",
            at(2, 5, 1, "a statement on its own"),
            labels=(at(3, 5, 3, "a new statement: same indentation"),),
            help=("indent `- b` to continue the line above",),
        ),
        expected=(
            "error[value.unused]: the value of `a` is unused\n"
            " --> m.dm:2:5\n"
            " 2 |     a\n"
            "   |     ^ a statement on its own\n"
            " 3 |     - b\n"
            "   |     --- a new statement: same indentation\n"
            "help: indent `- b` to continue the line above"
        ),
    ),
    Case(
        text=(
            "fn tile[N, R](x: f64[N]) -> f64[R, N] {\n"
            "    var y = x\n"
            "    for _ in 0..R { y = concat[0](y, x) }\n"
            "    y\n"
            "}\n"
        ),
        diagnostic=Diagnostic(
            "loop.type",
            "`y` changes shape from one iteration to the next",
            at(3, 21, 19, "f64[2 * N]"),
            labels=(at(2, 5, 9, "f64[N]"),),
            help=("end the loop body with `x`; the loop's value is the stack f64[R, N]",),
        ),
        expected=(
            "error[loop.type]: `y` changes shape from one iteration to the next\n"
            " --> m.dm:3:21\n"
            " 2 |     var y = x\n"
            "   |     --------- f64[N]\n"
            " 3 |     for _ in 0..R { y = concat[0](y, x) }\n"
            "   |                     ^^^^^^^^^^^^^^^^^^^ f64[2 * N]\n"
            "help: end the loop body with `x`; the loop's value is the stack f64[R, N]"
        ),
    ),
    Case(
        text=("fn square(x: f64) -> f64 {\n    return x * x\n}\n"),
        diagnostic=Diagnostic(
            "syntax.return",
            "dm has no `return`",
            at(2, 5, 6, "a block's value is its last expression"),
            help=("delete the word `return`",),
        ),
        expected=(
            "error[syntax.return]: dm has no `return`\n"
            " --> m.dm:2:5\n"
            " 2 |     return x * x\n"
            "   |     ^^^^^^ a block's value is its last expression\n"
            "help: delete the word `return`"
        ),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.diagnostic.code)
def test_layout_to_the_letter(case: Case) -> None:
    source = SourceFile("m.dm", case.text)

    def placed(label: Label) -> Label:
        return replace(label, span=replace(label.span, file=source))

    primary = case.diagnostic.primary
    assert primary is not None
    labels = tuple(map(placed, case.diagnostic.labels))
    diagnostic = replace(case.diagnostic, primary=placed(primary), labels=labels)
    assert render.render(diagnostic) == case.expected
