"""Error codes of the family `shape`: sizes that do not fit or cannot be proved."""

from __future__ import annotations

from dmc.diagnostics.codes.code import Code, Language

CODES: tuple[Code, ...] = (
    Code(
        "shape.matmul",
        "`@` contracts two different sizes",
        "`x @ w` sums over the last axis of `x` and the first of `w` (the last but one "
        "if it has several). `.T` swaps the last two axes.",
        "fn score[B, D, H](x: f32[B, D], w: f32[H, D]) -> f32[B, H] = x @ w\n",
        "fn score[B, D, H](x: f32[B, D], w: f32[H, D]) -> f32[B, H] = x @ w.T\n",
    ),
    Code(
        "shape.broadcast",
        "two shapes do not broadcast",
        "Shapes combine when they are equal, when one is a scalar, or when one is an "
        "exact suffix of the other. Everything else is written: `m[:, _]` has an axis "
        "that stretches. A size of 1 never stretches.",
        "fn center[B, D](x: f32[B, D]) -> f32[B, D] = x - mean[D](x)\n",
        "fn center[B, D](x: f32[B, D]) -> f32[B, D] = x - mean[D](x)[:, _]\n",
    ),
    Code(
        "shape.mismatch",
        "a shape differs from the one that is wanted",
        "Shapes are compared as polynomials in the sizes, so `T + 1 - 1` is `T`; two "
        "names are equal only if something says so.",
        "fn f[N, M](x: f64[N]) -> f64[M] = x\n",
        "fn f[N](x: f64[N]) -> f64[N] = x\n",
    ),
    Code(
        "shape.unproved",
        "a fact about sizes can be neither proved nor refuted",
        "The smallest counterexample is shown. State the fact as `requires`: callers "
        "prove it, and calls from Python are checked once. Compiled code contains no "
        "shape checks.",
        "fn heads[T, D, H](x: f32[T, D]) -> f32[T, H, D / H] = reshape[T, H, D / H](x)\n",
        "fn heads[T, D, H](x: f32[T, D]) -> f32[T, H, D / H] requires D % H == 0 =\n"
        "    reshape[T, H, D / H](x)\n",
    ),
    Code(
        "shape.axis",
        "an axis that an array does not have",
        "Axes are chosen by size or by number, negative from the end. A size that occurs "
        "twice is chosen by number.",
        "fn f[N, M](x: f64[N]) -> f64 = sum(sum[M](x))\n",
        "fn f[N, M](x: f64[N, M]) -> f64 = sum(sum[M](x))\n",
    ),
    Code(
        "shape.division",
        "a size does not divide another",
        "`/` between sizes is exact. `//` rounds down.",
        "fn f(x: f64[7]) -> f64[7 / 2] = zeros\n",
        "fn f(x: f64[7]) -> f64[7 // 2] = zeros\n",
    ),
    Code(
        "shape.rank",
        "an operation needs more axes than there are",
        "`@` contracts arrays, `.T` swaps the last two axes.",
        "fn f[N](x: f64[N]) -> f64 = sum(x.T)\n",
        "fn f[N](x: f64[N, N]) -> f64 = sum(x.T)\n",
    ),
    Code(
        "shape.requires",
        "a `requires` clause is not proved",
        "Callers prove the clauses of what they call, or pass the duty on with a clause "
        "of their own.",
        "fn half[N](x: f64[N]) -> f64[N / 2] requires N % 2 == 0 = [i in 0..N / 2] => x[2 "
        "* i]\n"
        "\n"
        "fn f[N](x: f64[N]) -> f64 = sum(half(x))\n",
        "fn half[N](x: f64[N]) -> f64[N / 2] requires N % 2 == 0 = [i in 0..N / 2] => x[2 "
        "* i]\n"
        "\n"
        "fn f[N](x: f64[N]) -> f64 requires N % 2 == 0 = sum(half(x))\n",
    ),
    Code(
        "shape.reshape",
        "a reshape changes the number of elements",
        "The product of the sizes stays. It is compared as a polynomial, under the "
        "`requires` clauses.",
        "fn f[B, T, D](x: f32[B, T, D]) -> f32[B, D] = reshape[B, D](x)\n",
        "fn f[B, T, D](x: f32[B, T, D]) -> f32[B, T * D] = reshape[B, T * D](x)\n",
    ),
    Code(
        "shape.size",
        "a size is negative or not whole",
        "Sizes are whole numbers from zero.",
        "fn f(x: f64[2 - 3]) -> f64 = sum(x)\n",
        "fn f(x: f64[3 - 2]) -> f64 = sum(x)\n",
    ),
    Code(
        "shape.empty",
        "a maximum or mean of no elements",
        "Sums of nothing are 0 and products 1; maxima, means and their kin do not exist. "
        "It is found when the function is compiled for sizes of zero.",
        "",
        "",
    ),
    Code(
        "shape.stretch",
        "an axis made by `_` meets nothing",
        "`m[:, _]` stretches to what it is combined with, and such an axis never leaves a "
        "function.",
        "fn f[N](x: f64[N]) -> f64[N, N] = x[:, _]\n",
        "fn f[N](x: f64[N]) -> f64[N, N] = x[:, _] + x\n",
    ),
    Code(
        "shape.unknown",
        "the shape of a value is not known",
        "`zeros`, `ones` and `normal(key)` take their shape from context; where there is "
        "none it is written: `zeros[B, H]`.",
        "fn f[N](key: Key, x: f64[N]) -> f64 {\n    let y = normal(key)\n    y[0]\n}\n",
        "fn f[N](key: Key, x: f64[N]) -> f64 {\n    let y = normal[N](key)\n    sum(y)\n}\n",
    ),
    Code(
        "shape.value",
        "a value stands where a size is wanted",
        "Sizes never come from values: they are generic parameters, known before anything runs.",
        "fn f(n: i64) -> f64 = sum(zeros[n])\n",
        "fn f[N](x: f64[N]) -> f64 = sum(zeros[N] + x)\n",
    ),
    Code(
        "shape.argument",
        "the shapes of arguments from Python do not fit together",
        "Every size in a signature is solved from the arguments once, and all must agree.",
        'mod = dmc.loads("fn f[N](x: f64[N], y: f64[N]) -> f64 = sum(x * y)")\n'
        "mod.f(np.zeros(3), np.zeros(4))\n",
        'mod = dmc.loads("fn f[N](x: f64[N], y: f64[N]) -> f64 = sum(x * y)")\n'
        "mod.f(np.zeros(3), np.zeros(3))\n",
        Language.PYTHON,
    ),
)
