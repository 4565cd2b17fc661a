"""Error codes of the family `grad`: derivatives."""

from __future__ import annotations

from dmc.syntax.codes.code import Code

CODES: tuple[Code, ...] = (
    Code(
        "grad.zero",
        "a derivative is zero everywhere",
        "The variable reaches the result only through something without a derivative, "
        "such as `argmax`, a comparison, or a conversion to an integer type. Training "
        "along it would not move. Differentiate a smooth loss instead.",
        "fn hits[B, K](w: f32[K], x: f32[B, K], y: i32[B]) -> f32 = "
        "mean(f32(argmax[K](x * w) == y))\n"
        "\n"
        "fn slope[B, K](w: f32[K], x: f32[B, K], y: i32[B]) -> f32[K] = grad(hits)(w, x, y)\n",
        "fn score[B, K](w: f32[K], x: f32[B, K]) -> f32 = mean(logsumexp[K](x * w))\n"
        "\n"
        "fn slope[B, K](w: f32[K], x: f32[B, K]) -> f32[K] = grad(score)(w, x)\n",
    ),
)
