"""Error codes of the family `type`: types that do not fit."""

from __future__ import annotations

from dmc.syntax.codes.code import Code

CODES: tuple[Code, ...] = (
    Code(
        "type.mixed",
        "two element types do not mix",
        "There is no implicit promotion, because it decides precision and speed behind "
        "your back. Literals and sizes adapt to what they meet; values never do. "
        "Convert one side: `f32(h)`.",
        "fn scale[N](x: f32[N], h: f64) -> f32[N] = 2.0 * x * h\n",
        "fn scale[N](x: f32[N], h: f64) -> f32[N] = 2.0 * x * f32(h)\n",
    ),
    Code(
        "type.mismatch",
        "a value of one type stands where another is wanted",
        "The second place that the message marks says what is wanted: a signature, a "
        "declaration or the other branch.",
        "fn f(x: f64) -> i64 = x\n",
        "fn f(x: f64) -> i64 = i64(x)\n",
    ),
)
