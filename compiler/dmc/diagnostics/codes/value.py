"""Error codes of the family `value`: values that are lost or changed."""

from __future__ import annotations

from dmc.diagnostics.codes.code import Code

CODES: tuple[Code, ...] = (
    Code(
        "value.unused",
        "the value of a statement is unused",
        "Nothing in dm has an effect, so a value that nobody uses is a mistake: often a "
        "line that was meant to continue the one above. A deeper indentation continues "
        "it.",
        "fn gap(a: f64, b: f64) -> f64 {\n    a\n    - b\n}\n",
        "fn gap(a: f64, b: f64) -> f64 {\n    a\n        - b\n}\n",
    ),
    Code(
        "value.immutable",
        "something is assigned that is not a `var`",
        "`let` and parameters are immutable. Declare a local with `var` to update it, "
        "or a parameter with `var` to have a private copy.",
        "fn f(x: f64) -> f64 {\n    let s = x\n    s += 1.0\n    s\n}\n",
        "fn f(x: f64) -> f64 {\n    var s = x\n    s += 1.0\n    s\n}\n",
    ),
    Code(
        "value.range",
        "a number does not fit its type",
        "A number that is written, or computed when the program is compiled, is held by its "
        "element type or refused: nothing is cut off. What runs wraps around instead, as "
        "processors do.",
        "fn f() -> i32 = 3_000_000_000\n",
        "fn f() -> i64 = 3_000_000_000\n",
    ),
    Code(
        "value.none",
        "there is no value to bind",
        "Loops that only assign and blocks that end in a statement have no value.",
        "fn f(x: f64) -> f64 {\n    var y = x\n    let z = for i in 0..3 { y = y * x }\n    y\n}\n",
        "fn f(x: f64) -> f64 {\n    var y = x\n    for i in 0..3 { y = y * x }\n    y\n}\n",
    ),
)
