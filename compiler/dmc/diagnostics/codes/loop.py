"""Error codes of the family `loop`: loops and what they carry."""

from __future__ import annotations

from dmc.diagnostics.codes.code import Code

CODES: tuple[Code, ...] = (
    Code(
        "loop.type",
        "a carried variable changes its type or shape",
        "A `var` assigned in a loop has one type for all iterations, because shapes are "
        "known before the program runs. To collect values end the body with them: the "
        "loop's value is their stack.",
        "fn tile[N, R](x: f64[N]) -> f64[R, N] {\n"
        "    var y = x\n"
        "    for _ in 0..R { y = concat[0](y, x) }\n"
        "    y\n"
        "}\n",
        "fn tile[N, R](x: f64[N]) -> f64[R, N] =\n    for _ in 0..R { x }\n",
    ),
    Code(
        "loop.builder",
        "an assignment inside a builder",
        "The elements of a builder are independent of each other, so they run in any "
        "order, and change nothing around them, nor does a function that they call. Ordered steps "
        "are a `for`.",
        "fn f[N](x: f64[N]) -> f64 {\n"
        "    var t = 0.0\n"
        "    let y = [i] => { t += x[i]; x[i] }\n"
        "    t + sum(y)\n"
        "}\n",
        "fn f[N](x: f64[N]) -> f64 {\n    var t = 0.0\n    for v in x { t += v }\n    t\n}\n",
    ),
    Code(
        "loop.checkpoint",
        "`checkpoint[k]` without a positive number, or not on a loop",
        "`checkpoint[32] for` keeps every 32nd carried value; the plain form keeps about "
        "the square root of the count. `checkpoint while` does likewise.",
        "fn f(x: f64) -> f64 {\n"
        "    var y = x\n"
        "    checkpoint[0] for _ in 0..8 { y = sin(y) }\n"
        "    y\n"
        "}\n",
        "fn f(x: f64) -> f64 {\n"
        "    var y = x\n"
        "    checkpoint[4] for _ in 0..8 { y = sin(y) }\n"
        "    y\n"
        "}\n",
    ),
    Code(
        "loop.count",
        "values of a loop whose count is known only at run time",
        "The values of a loop are stacked, and a stack has a size. Carry what is needed "
        "in a `var`, or make the count a size.",
        "fn f(n: i64, x: f64) -> f64 = sum(for i in 0..n { x * f64(i) })\n",
        "fn f[N](x: f64[N]) -> f64 = sum(for v in x { v * v })\n",
    ),
    Code(
        "loop.iterable",
        "a loop over something without a leading axis",
        "A loop runs over a range `0..n` or over the leading axis of an array or stack.",
        "fn f(n: i64) -> f64 {\n    var t = 0.0\n    for i in n { t += 1.0 }\n    t\n}\n",
        "fn f(n: i64) -> f64 {\n    var t = 0.0\n    for i in 0..n { t += 1.0 }\n    t\n}\n",
    ),
    Code(
        "loop.value",
        "a loop body ends in a value that cannot be stacked",
        "A `while` has no value, since its count is not known; keys and functions are not stacked.",
        "fn f(x: f64) -> f64 {\n"
        "    var y = x\n"
        "    while y > 1.0 {\n"
        "        y = y / 2.0\n"
        "        y\n"
        "    }\n"
        "    y\n"
        "}\n",
        "fn f(x: f64) -> f64 {\n    var y = x\n    while y > 1.0 { y = y / 2.0 }\n    y\n}\n",
    ),
)
