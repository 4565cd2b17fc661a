"""Error codes of the family `index`: indexes and their ranges."""

from __future__ import annotations

from dmc.syntax.codes.code import Code

CODES: tuple[Code, ...] = (
    Code(
        "index.range",
        "an index has two ranges",
        "The range of an index comes from the axes that it subscripts directly, and all "
        "must agree. Give the range when they do not: `sum[i in 0..N]`.",
        "fn dot[N, M](x: f64[N], y: f64[M]) -> f64 = sum[i](x[i] * y[i])\n",
        "fn dot[N](x: f64[N], y: f64[N]) -> f64 = sum[i](x[i] * y[i])\n",
    ),
    Code(
        "index.bounds",
        "an index reads past the end",
        "Indexes that are monotone in their variables are checked when the program is "
        "compiled; others when it runs. Give the range that stays inside.",
        "fn diff[N](x: f64[N]) -> f64[N - 1] = [i] => x[i + 1] - x[i]\n",
        "fn diff[N](x: f64[N]) -> f64[N - 1] requires N >= 1 =\n"
        "    [i in 0..N - 1] => x[i + 1] - x[i]\n",
    ),
)
