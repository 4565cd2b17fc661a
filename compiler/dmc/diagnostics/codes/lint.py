"""Codes of the family `lint`: warnings of `dmc check`."""

from __future__ import annotations

from dmc.diagnostics.codes.code import Code

CODES: tuple[Code, ...] = (
    Code(
        "lint.gradient",
        "a gradient is zero everywhere",
        "A `param`, or what a derivative is asked for in, reaches no result smoothly, whatever the "
        "numbers are: training leaves it as it is. Use it, declare it `state`, or differentiate in "
        "another parameter. A warning.",
        "model Line {\n"
        "    param slope: f64 = 1.0\n"
        "    param offset: f64 = 0.0\n"
        "    fn forward(x: f64) -> f64 = slope * x + stop_gradient(offset)\n"
        "}\n",
        "model Line {\n"
        "    param slope: f64 = 1.0\n"
        "    state offset: f64 = 0.0\n"
        "    fn forward(x: f64) -> f64 = slope * x + stop_gradient(offset)\n"
        "}\n",
    ),
    Code(
        "lint.step",
        "a parameter reaches a result only through what has no derivative",
        "The derivative of rounding, of a comparison, of `argmax` and of a conversion to integers "
        "is zero, and no other way leads from the `param` to a result. To train it regardless, let "
        "the gradient through as if the step were not there (the straight-through estimator); else "
        "declare it `state`. A warning.",
        "model Levels {\n"
        "    param scale: f64 = 4.0\n"
        "    param gain: f64 = 1.0\n"
        "    fn forward(x: f64) -> f64 = gain * x / floor(scale)\n"
        "}\n",
        "model Levels {\n"
        "    param scale: f64 = 4.0\n"
        "    param gain: f64 = 1.0\n"
        "    fn forward(x: f64) -> f64 = gain * x / (scale + stop_gradient(floor(scale) - scale))\n"
        "}\n",
    ),
    Code(
        "lint.singular",
        "a logarithm, root or quotient of something that can be 0",
        "From what is known of its operand, such as the range of an index, of `relu` or of a "
        "sigmoid with its rounding, it can be 0, or below it, where the value or its slope is "
        "infinite. Of a plain argument nothing is known, and what is selected or computed in a "
        "branch counts as guarded. A warning.",
        "fn harmonic[N](x: f64[N]) -> f64 = sum[i](x[i] / f64(i))\n",
        "fn harmonic[N](x: f64[N]) -> f64 = sum[i](x[i] / f64(i + 1))\n",
    ),
    Code(
        "lint.state",
        "nothing reads a `state`",
        "No result of a function of the model depends on it, but for its own new value. Leave it "
        "out, or, if Python looks at it, let a function tell it. A warning.",
        "model Scaled {\n"
        "    param scale: f64 = 1.0\n"
        "    state seen: i64 = 0\n"
        "    mut fn forward(x: f64) -> f64 {\n"
        "        seen += 1\n"
        "        scale * x\n"
        "    }\n"
        "}\n",
        "model Scaled {\n"
        "    param scale: f64 = 1.0\n"
        "    state seen: i64 = 0\n"
        "    mut fn forward(x: f64) -> f64 {\n"
        "        seen += 1\n"
        "        scale * x\n"
        "    }\n"
        "    fn count() -> i64 = seen\n"
        "}\n",
    ),
    Code(
        "lint.key",
        "nothing is drawn from a key",
        "A key that is named and not mentioned again is often one of two that were to be "
        "different. Give it no name, or spend it. A warning.",
        "fn pair[N](key: Key) -> f64[2, N] {\n"
        "    let (k1, k2, k3) = split(key, 3)\n"
        "    [normal[N](k1), normal[N](k2)]\n"
        "}\n",
        "fn pair[N](key: Key) -> f64[2, N] {\n"
        "    let (k1, k2) = split(key)\n"
        "    [normal[N](k1), normal[N](k2)]\n"
        "}\n",
    ),
    Code(
        "lint.sum",
        "a sum of whole numbers is too large for its type",
        "f32 holds whole numbers up to 2^24 without a gap, f64 up to 2^53, and f16 up to 2^11; "
        "beyond, sums of them are rounded. Sum integers or f64 and convert the sum. A warning.",
        "fn total() -> f32 = sum[i in 0..10_000](f32(i))\n",
        "fn total() -> f32 = f32(sum[i in 0..10_000](f64(i)))\n",
    ),
    Code(
        "lint.dense",
        "a sparse derivative has no zeros that are known",
        "`sparse = true` then computes all entries, in as many passes as the dense derivative. The "
        "line that is marked is the first of which an element depends on everything: by what it "
        "computes, or because a subscript or a count is known only when the program runs. A "
        "warning of `dmc check`, and Python's where the derivative is compiled.",
        "fn shares[N](x: f64[N]) -> f64[N] = x / sum(x)\n"
        "fn total[N](x: f64[N]) -> f64 {\n"
        "    let (values, _, _) = jacobian(shares, sparse = true)(x)\n"
        "    sum(values)\n"
        "}\n",
        "fn shares[N](x: f64[N]) -> f64[N] = x / sum(x)\n"
        "fn total[N](x: f64[N]) -> f64 = sum(jacobian(shares)(x))\n",
    ),
)
