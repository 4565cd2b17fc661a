"""Error codes of the family `shape`: sizes that do not fit or cannot be proved."""

from __future__ import annotations

from dmc.syntax.codes.code import Code

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
)
