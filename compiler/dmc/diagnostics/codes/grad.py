"""Error codes of the family `grad`: derivatives."""

from __future__ import annotations

from dmc.diagnostics.codes.code import Code, Language

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
    Code(
        "grad.scalar",
        "`grad` of a function that does not give one float",
        "A gradient belongs to one number. Of an array take `jacobian` or `vjp`, or "
        "differentiate its sum. Of a tuple the first component counts.",
        "fn f[N](x: f64[N]) -> f64[N] = x * x\n\nfn g[N](x: f64[N]) -> f64[N] = grad(f)(x)\n",
        "fn f[N](x: f64[N]) -> f64 = sum(x * x)\n\nfn g[N](x: f64[N]) -> f64[N] = grad(f)(x)\n",
    ),
    Code(
        "grad.integer",
        "a derivative in or of something that carries none",
        "Integers, truth values and keys carry no derivative; `wrt` chooses another parameter.",
        "fn f(n: i64, x: f64) -> f64 = x ** n\n\nfn g(n: i64, x: f64) -> f64 = grad(f)(n, x)\n",
        "fn f(n: i64, x: f64) -> f64 = x ** n\n"
        "\n"
        "fn g(n: i64, x: f64) -> f64 = grad(f, wrt = x)(n, x)\n",
    ),
    Code(
        "grad.wrt",
        "`wrt` does not name a parameter that is given",
        "`wrt` names parameters of the function, fields of them, or a tuple of such.",
        "fn f(x: f64, y: f64) -> f64 = x * y\n"
        "\n"
        "fn g(a: f64, b: f64) -> f64 = grad(f, wrt = b)(a, b)\n",
        "fn f(x: f64, y: f64) -> f64 = x * y\n"
        "\n"
        "fn g(a: f64, b: f64) -> f64 = grad(f, wrt = y)(a, b)\n",
    ),
    Code(
        "grad.uncalled",
        "a differentiation operator without arguments",
        "Operators give functions, and functions are called or passed on; they are not stored.",
        "fn f(x: f64) -> f64 = x * x\n\nfn g(x: f64) -> f64 {\n    let d = grad(f)\n    d(x)\n}\n",
        "fn f(x: f64) -> f64 = x * x\n\nfn g(x: f64) -> f64 = grad(f)(x)\n",
    ),
    Code(
        "grad.rule",
        "a `derivative` declaration does not fit its function",
        "A rule is `jvp`, with one tangent for each input that carries derivatives, or "
        "`vjp`, with one cotangent. It sees the inputs and the result.",
        "fn f(x: f64) -> f64 = x * x\n"
        "\n"
        "derivative f(x) -> y {\n"
        "    jvp(dx, dy) = 2.0 * x * dx\n"
        "}\n",
        "fn f(x: f64) -> f64 = x * x\n\nderivative f(x) -> y {\n    jvp(dx) = 2.0 * x * dx\n}\n",
    ),
    Code(
        "grad.linear",
        "a rule is not linear in its vectors",
        "A derivative is a linear map, and reverse mode transposes it: vectors are added "
        "to each other and multiplied by what does not depend on them. One that is meant to be "
        "something else is `derivative unchecked`.",
        "fn f(x: f64) -> f64 = x * x\n"
        "\n"
        "derivative f(x) -> y {\n"
        "    jvp(dx) = 2.0 * x * dx * dx\n"
        "}\n",
        "fn f(x: f64) -> f64 = x * x\n\nderivative f(x) -> y {\n    jvp(dx) = 2.0 * x * dx\n}\n",
    ),
    Code(
        "grad.check",
        "a gradient and finite differences disagree",
        "The message names the arrays, or the rules. Either a `derivative` declaration is "
        "wrong, or the function is not smooth on the way of the differences, or it is not finite "
        "there.",
        "dmc check-grad model.dm loss x=-1.0\n",
        "dmc check-grad model.dm loss x=1.0\n",
        Language.SHELL,
    ),
    Code(
        "grad.budget",
        "a budget of memory that is none",
        "A budget bounds what a program with a gradient takes beside its arguments and results: "
        "what does not fit is computed again. It is at least one byte, and known at compile time. "
        "With `keep = bf16` or `keep = i8` what waits may be kept in fewer bits for it. Forward "
        "mode keeps nothing, and so takes none.",
        "fn f[N](x: f64[N]) -> f64 = sum(sin(sin(x)))\n"
        "\n"
        "fn g[N](x: f64[N]) -> f64[N] = grad(f, budget = 0)(x)\n",
        "fn f[N](x: f64[N]) -> f64 = sum(sin(sin(x)))\n"
        "\n"
        "fn g[N](x: f64[N]) -> f64[N] = grad(f, budget = 64 * MiB)(x)\n",
    ),
)
