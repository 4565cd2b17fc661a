"""Error codes of the family `index`: indexes and their ranges."""

from __future__ import annotations

from dmc.diagnostics.codes.code import Code

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
    Code(
        "index.count",
        "an index has more items than the array has axes",
        "Each item takes one axis, save `_`, which makes one, and `...`, which takes all "
        "that are left. The axes of a pack are reached from the end.",
        "fn f[N](x: f64[N]) -> f64 = x[0, 0]\n",
        "fn f[N](x: f64[N, N]) -> f64 = x[0, 0]\n",
    ),
    Code(
        "index.type",
        "something that is not an index",
        "Indexes are whole numbers, arrays of them, slices, `...` and `_`; new indexes of "
        "a builder are names or `i in 0..N`.",
        "fn f[N](x: f64[N], t: f64) -> f64 = x[t]\n",
        "fn f[N](x: f64[N], t: i64) -> f64 = x[t]\n",
    ),
    Code(
        "index.slice",
        "a slice without a static length",
        "Sizes never come from values, so both ends of a slice differ by a size.",
        "fn f[N](x: f64[N], n: i64) -> f64 = sum(x[:n])\n",
        "fn f[N, K](x: f64[N], n: i64, w: f64[K]) -> f64 requires K <= N =\n"
        "    sum(x[n : n + K] * w)\n",
    ),
    Code(
        "index.size",
        "a builder over a range that is not a size",
        "The axes of an array are sizes. A reduction may run over a range known only at run time.",
        "fn f(n: i64) -> f64 = sum([i in 0..n] => f64(i))\n",
        "fn f(n: i64) -> f64 = sum[i in 0..n](f64(i))\n",
    ),
    Code(
        "index.unranged",
        "an index has no range",
        "The range of an index comes from the axes it subscripts directly; when there are "
        "none it is written.",
        "fn f[N](x: f64[N]) -> f64[N] = [i] => f64(i)\n",
        "fn f[N](x: f64[N]) -> f64[N] = [i in 0..N] => f64(i)\n",
    ),
)
