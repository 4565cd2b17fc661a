"""Error codes of the family `loop`: loops and what they carry."""

from __future__ import annotations

from dmc.syntax.codes.code import Code

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
)
