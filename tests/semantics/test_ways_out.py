"""The way out that an error gives, pasted over what was wrong, compiles."""

from __future__ import annotations

import pytest

import dmc
from dmc.diagnostics.errors import Error

LOSS = "fn loss(w: f64, v: f64 = 1.0) -> f64 = w * v\n"
MODEL = """model M[N] {
    param w: f64[N] = zeros
    state mean: f64[N] = zeros
    fn forward(x: f64[N]) -> f64 = mean(x)
}
"""
HEADS = """fn heads[T, D, H](x: f32[T, D]) -> f32[T, H, D / H] requires D % H == 0 =
    reshape[T, H, D / H](x)
model A[D, H] {
    param w: f32[D] = zeros
"""

APPLY = """fn apply(f: (f64) -> f64, x: f64) -> f64 = f(x)
fn add(x: f64, y: f64) -> f64 = x + y
"""

WAYS: dict[str, tuple[str, str, str, str]] = {
    # what is wrong: the program, the code, what is replaced, what with (a way out, or around one)
    "a value to grad": (
        f"{LOSS}fn f(w: f64) -> f64 = grad(loss(w))\n",
        "grad.uncalled", "grad(loss(w))", "grad(loss)(w)",
    ),
    "truth values filled with numbers": (
        "fn f[N](x: f64[N]) -> bool[N + 1] {\n    var b: bool[N + 1] = zeros\n    b\n}\n",
        "type.mismatch", "zeros", "[i in 0..N + 1] => false",
    ),
    "a value to grad, called": (
        f"{LOSS}fn f(w: f64) -> f64 = grad(loss(w))(w)\n",
        "grad.uncalled", "grad(loss(w))(w)", "grad(loss)(w)",
    ),
    "a value to grad, with wrt": (
        f"{LOSS}fn f(w: f64) -> f64 = grad(loss(w, 2.0), wrt = v)\n",
        "grad.uncalled", "grad(loss(w, 2.0), wrt = v)", "grad(loss, wrt = v)(w, 2.0)",
    ),
    "too few to a function value": (
        "fn apply(f: (f64, f64) -> f64, x: f64) -> f64 = f(x)\n",
        "call.count", "(f64, f64) -> f64", "(f64) -> f64",
    ),
    "a function value of too few arguments": (
        f"{LOSS}fn g(x: f64) -> f64 = grad(fn(t) => loss(t))(x, x)\n",
        "call.count", "fn(t) => loss(t)", "fn(t, a) => loss(t)",
    ),
    "a function of too many arguments": (
        f"{APPLY}fn g(x: f64) -> f64 = apply(add, x)\n",
        "type.mismatch", "apply(add", "apply(fn(a) => add(a, 0.0)",
    ),
    "arguments that come later": (
        f"{APPLY}fn g(x: f64) -> f64 = apply(add(x), x)\n",
        "call.missing", "apply(add(x)", "apply(fn(y) => add(x, y)",
    ),
    "a function value without fn": (
        f"{APPLY}fn g(x: f64) -> f64 = apply((t) => t * add(t, t), x)\n",
        "syntax.arrow", "(t) => t * add(t, t)", "fn(t) => t * add(t, t)",
    ),
    "a function type without parentheses": (
        "fn apply(f: f64 -> f64, x: f64) -> f64 = f(x)\n",
        "syntax.arrow", "f64 -> f64,", "(f64) -> f64,",
    ),
    "a colon in front of a block": (
        "fn f[N](x: f64[N]) -> f64 {\n    var s = 0.0\n    for i in 0..N:\n        s += x[i]\n"
        "    }\n    s\n}\n",
        "syntax.unexpected", "for i in 0..N:", "for i in 0..N {",
    ),
    "an array's type in brackets": (
        "fn f(x: [f64; 3]) -> f64 = x[0]\n",
        "syntax.unexpected", "[f64; 3]", "f64[3]",
    ),
    "a sum by letters": (
        "fn f[N, K, M](a: f64[N, K], b: f64[K, M]) -> f64[N, M] = einsum(\"ik,kj->ij\", a, b)\n",
        "syntax.string", "einsum(\"ik,kj->ij\", a, b)", "[i, j] => sum[k](a[i, k] * b[k, j])",
    ),
    "a function of a package": (
        "fn f[N](x: f64[N]) -> f64 = np.mean(x)\n",
        "name.unknown", "np.mean(x)", "mean(x)",
    ),
    "a function that dm writes otherwise, of a package": (
        "fn f[N](x: f64[N]) -> f64 = linalg.norm(x)\n",
        "name.unknown", "linalg.norm(x)", "sqrt(sum(x * x))",
    ),
    "a function of another meaning": (
        "fn f(x: f64) -> f64 = gamma(x)\n",
        "name.unknown", "gamma(x)", "exp(lgamma(x))",
    ),
    "a draw without a key": (
        "from nn import dropout\nfn f[N](x: f32[N]) -> f32[N] = dropout(x, 0.5)\n",
        "call.missing", "(x: f32[N]) -> f32[N] = dropout(x, 0.5)",
        "(x: f32[N], key: Key) -> f32[N] = dropout(x, 0.5, key)",
    ),
    "a function over an array": (
        f"{LOSS}fn f[N](x: f64[N]) -> f64[N] = map(loss, x)\n",
        "call.count", "map(loss, x)", "[i] => loss(x[i])",
    ),
    "a layer made by a call": (
        "from nn import Linear\nmodel M {\n    layer: Linear[3, 2]\n"
        "    fn forward(x: f32[3]) -> f32[2] {\n        let l = Linear(3, 2)\n        layer(x)\n"
        "    }\n}\n",
        "call.keyword", "        let l = Linear(3, 2)\n", "        # layer: Linear[3, 2]\n",
    ),
    "a new axis into a layer": (
        "from nn import Linear\n"
        "fn f[N](net: Linear[1, 3], x: f32[N]) -> f32[N, 3] = net(x[:, _])\n",
        "shape.stretch", "x[:, _]", "reshape[N, 1](x)",
    ),
    "a new axis to join along": (
        "fn f[N](x: f32[N], y: f32[N, 1]) -> f32[N, 2] = concat[1](x[:, _], y)\n",
        "shape.stretch", "x[:, _]", "reshape[N, 1](x)",
    ),
    "brackets that the wanted type tells": (
        "from init import glorot_uniform\n"
        "model M[I, H] {\n    param w: f32[I, 3 * H] = glorot_uniform(key)\n}\n",
        "call.generic", "glorot_uniform(key)", "glorot_uniform[I, 3 * H](key)",
    ),
    "brackets with an element type": (
        "from init import he_normal\n"
        "model M[I, H] {\n    param w: f64[I, H] = he_normal(key)\n}\n",
        "call.generic", "he_normal(key)", "he_normal[I, H, f64](key)",
    ),
    "an integer and a float": (
        "fn f[B](x: f32[B], t: i64) -> f32[B] = [b] => x[b] - t\n",
        "type.mixed", "- t", "- f32(t)",
    ),
    "an index and a float": (
        "fn f[B, T](x: f32[B]) -> f32[B, T] = [b, t in 0..T] => x[b] - t\n",
        "type.mixed", "- t", "- f32(t)",
    ),
    "an index and a converted float": (
        "fn f[B, T](x: i64[B]) -> f64[B, T] = [b, t in 0..T] => f64(x[b]) - t\n",
        "type.mixed", "- t", "- f64(t)",
    ),
    "an integer array and a float": (
        "fn f[B](x: i64[B], t: f32) -> f32[B] = [b] => x[b] - t\n",
        "type.mixed", "x[b]", "f32(x[b])",
    ),
    "an integer and a literal": (
        "fn f(n: i64) -> f64 = n * 2.5\n",
        "type.mixed", "n * 2.5", "f64(n) * 2.5",
    ),
    "a float size in an index": (
        "fn f[D, H](x: f64[D]) -> f64[D] = [c in 0..D] => x[c // (D / H)]\n",
        "type.mixed", "D / H", "D // H",
    ),
    "a float size as an index": (
        "fn f[D, H](x: f64[D]) -> f64 = x[D / H]\n",
        "index.type", "D / H", "D // H",
    ),
    "an index divided": (
        "fn f[D](x: f64[D]) -> f64[D] = [c in 0..D] => x[c / 2]\n",
        "type.operand", "c / 2", "c // 2",
    ),
    "integers divided": (
        "fn f(a: i64, b: i64) -> i64 = a / b\n",
        "type.operand", "a / b", "a // b",
    ),
    "a mask": (
        "fn f[N](x: f64[N]) -> f64 = sum(x[x > 0.0])\n",
        "index.type", "sum(x[x > 0.0])", "sum(where(x > 0.0, x, 0.0))",
    ),
    "a mask of integers": (
        "fn f[N](x: i32[N]) -> i32 = sum(x[x > 0])\n",
        "index.type", "sum(x[x > 0])", "sum(where(x > 0, x, 0))",
    ),
    "a sum of two sizes that has a name": (
        "fn f[N](x: f64[N]) -> f64[N + 1] {\n    let n = N + 1\n    zeros[n]\n}\n",
        "shape.value", "zeros[n]", "zeros[N + 1]",
    ),
    "a function of the prelude in a module": (
        "import nn\nfn f(x: f64) -> f64 = nn.gelu(x)\n",
        "name.unknown", "nn.gelu(x)", "gelu(x)",
    ),
    "a function of another module": (
        "from nn import glorot_uniform\nfn f(key: Key) -> f32[2, 3] = glorot_uniform[2, 3](key)\n",
        "name.unknown", "from nn import glorot_uniform", "from init import glorot_uniform",
    ),
    "transpose as a method": (
        "fn f[N, M](x: f64[N, M]) -> f64[M, N] = x.transpose()\n",
        "type.field", "x.transpose()", "x.T",
    ),
    "a reduction as a method": (
        "fn f[N, M](x: f64[N, M]) -> f64[M] = x.sum(axis = 0)\n",
        "type.field", "x.sum(axis = 0)", "sum[0](x)",
    ),
    "reshape as a method": (
        "fn f[N, M](x: f64[N, M]) -> f64[M, N] = x.reshape(M, N)\n",
        "type.field", "x.reshape(M, N)", "reshape[M, N](x)",
    ),
    "flatten as a method": (
        "fn f[N, M](x: f64[N, M + 1]) -> f64[N * (M + 1)] = x.flatten()\n",
        "type.field", "x.flatten()", "reshape[N * (M + 1)](x)",
    ),
    "clip as a method": (
        "fn f[N](x: f64[N]) -> f64[N] = x.clip(0.0, 1.0)\n",
        "type.field", "x.clip(0.0, 1.0)", "clamp(x, 0.0, 1.0)",
    ),
    "a list comprehension": (
        "fn f[N](x: f64[N]) -> f64[N] = [x[i] * 2.0 for i in range(N)]\n",
        "syntax.unexpected", "[x[i] * 2.0 for i in range(N)]", "[i in 0..N] => x[i] * 2.0",
    ),
    "a list comprehension over a size": (
        "fn f[N](x: f64[N]) -> f64[N] = [x[i] * 2.0 for i in N]\n",
        "syntax.unexpected", "[x[i] * 2.0 for i in N]", "[i in 0..N] => x[i] * 2.0",
    ),
    "a list comprehension over values": (
        "fn f[N](x: f64[N]) -> f64[N] = [v * 2.0 for v in x]\n",
        "syntax.unexpected", "[v * 2.0 for v in x]", "for v in x { v * 2.0 }",
    ),
    "an item of a tuple": (
        "fn f(t: (f64, i32)) -> f64 {\n    2.0 * t[0]\n}\n",
        "index.type", "2.0 * t[0]", "let (a, b) = t\n    2.0 * a",
    ),
    "two names without parentheses": (
        f"{LOSS}fn f(w: f64) -> f64 {{\n    let l, g = value_and_grad(loss)(w)\n    l + g\n}}\n",
        "syntax.separator", "let l, g = value_and_grad(loss)(w)",
        "let (l, g) = value_and_grad(loss)(w)",
    ),
    "enumerate": (
        "fn f[N](x: f64[N]) -> () {\n    for i, v in enumerate(x) { v }\n}\n",
        "syntax.word", "for i, v in enumerate(x) { v }", "for i in 0..N { let v = x[i] }",
    ),
    "zip": (
        "fn f[N](x: f64[N], y: f64[N]) -> () {\n    for a, b in zip(x, y) { a * b }\n}\n",
        "syntax.word", "for a, b in zip(x, y) { a * b }",
        "for i in 0..N { let a = x[i]; let b = y[i] }",
    ),
    "a function in a function": (
        "fn f(x: f64) -> f64 {\n    fn g(y: f64) -> f64 = y * y\n    g(x)\n}\n",
        "syntax.declaration", "fn g(y: f64) -> f64 = y * y", "let g = fn(y: f64) => y * y",
    ),
    "a function behind the brace of another": (
        "fn f(x: f64) -> f64 { fn g(y: f64) -> f64 = y * y\n    g(x)\n}\n",
        "syntax.declaration", "fn g(y: f64) -> f64 = y * y", "let g = fn(y: f64) => y * y",
    ),
    "a function in a function, in braces": (
        "fn f(x: f64) -> f64 {\n    fn g(y: f64) -> f64 {\n        y * y\n    }\n    g(x)\n}\n",
        "syntax.declaration", "fn g(y: f64) -> f64 {", "let g = fn(y: f64) => {",
    ),
    "an equals sign before a rule's braces": (
        "fn g(a: f64) -> f64 = a * a\n"
        "derivative g(a) -> y {\n    jvp(da) = { 2.0 * a * da }\n}\n",
        "syntax.equals", "jvp(da) = {", "jvp(da) {",
    ),
    "an equals sign before a function's braces": (
        "fn g(a: f64) -> f64 = {\n    a * a\n}\n",
        "syntax.equals", "fn g(a: f64) -> f64 = {", "fn g(a: f64) -> f64 {",
    ),
    "a rule without a name for the result": (
        "fn g(a: f64) -> f64 = a * a\n"
        "derivative g(a) {\n    jvp(da) = 2.0 * a * da\n}\n",
        "syntax.result", "derivative g(a) {", "derivative g(a) -> y {",
    ),
    "a requirement of a model in its function": (
        f"{HEADS}    fn one[T](x: f32[T, D]) -> f32[T, H, D / H] = heads[T, D, H](x)\n}}\n",
        "shape.unproved", "model A[D, H]", "model A[D, H] requires D % H == 0",
    ),
    "a requirement of a model elsewhere": (
        f"{HEADS}}}\nfn g[T](a: A, x: f32[T, a.D]) -> f32[T, a.D] =\n"
        "    reshape[T, a.D](heads[T, a.D, a.H](x))\n",
        "shape.requires", "model A[D, H]", "model A[D, H] requires D % H == 0",
    ),
    "a size of its own for that of a model": (
        "model M[N] {\n    param w: f64[N] = ones\n    fn forward(x: f64[N]) -> f64[N] = x\n}\n"
        "fn f[N](net: M, x: f64[N]) -> f64 = sum(net(x))\n",
        "shape.mismatch", "x: f64[N]) -> f64 =", "x: f64[net.N]) -> f64 =",
    ),
    "a stack written as an array": (
        "model C[N] {\n    param w: f64[N] = ones\n    fn forward(x: f64[N]) -> f64[N] = x\n}\n"
        "model M[N, K] {\n    cells: [K]C[N]\n    fn forward(x: f64[N]) -> f64[N] = x\n}\n",
        "syntax.unexpected", "[K]C[N]", "K * C[N]",
    ),
    "an array with its size ahead": (
        "fn f[N](x: [N]f64) -> f64 = sum(x)\n", "syntax.unexpected", "[N]f64", "f64[N]",
    ),
    "an if without an else": (
        "fn relu(x: f64) -> f64 = if x > 0.0 { x }\n",
        "type.branch", "if x > 0.0 { x }", "if x > 0.0 { x } else { 0.0 }",
    ),
    "an array without a role": (
        "model M[N] {\n    w: f64[N]\n    fn forward(x: f64[N]) -> f64 = w @ x\n}\n",
        "type.field", "w: f64[N]\n", "param w: f64[N] = zeros\n",
    ),
    "a comprehension in a call": (
        "fn f[N](x: f64[N]) -> f64 = sum(2.0 * x[i] for i in range(N))\n",
        "syntax.unexpected", "2.0 * x[i] for i in range(N)", "[i in 0..N] => 2.0 * x[i]",
    ),
    "a scalar with brackets": (
        "fn f(x: f64[]) -> f64 = x\n",
        "syntax.unexpected", "f64[]", "f64",
    ),
    "a type of functions with fn": (
        "fn twice(f: fn(f64) -> f64, x: f64) -> f64 = f(f(x))\n",
        "syntax.reserved", "fn(f64) -> f64", "(f64) -> f64",
    ),
    "a rule with types": (
        "fn f(x: f64) -> f64 = x * x\nderivative f(x: f64, dx: f64) -> f64 = 2.0 * x * dx\n",
        "syntax.unexpected", "derivative f(x: f64, dx: f64) -> f64 = 2.0 * x * dx",
        "derivative f(x) -> y { jvp(dx) = 2.0 * x * dx }",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "code", "old", "new"), WAYS.values(), ids=WAYS.keys())
def test_the_way_out_compiles(text: str, code: str, old: str, new: str) -> None:
    with pytest.raises(Error) as caught:
        dmc.loads(text)
    problem = caught.value.diagnostics[0]
    assert problem.code == code
    texts = [part for line in problem.help for part in line.split("`")[1::2]]
    assert any(part in new for part in texts), problem.help
    assert old in text
    dmc.loads(text.replace(old, new))


def test_a_value_that_hides_a_function_is_named() -> None:
    for text, what in (
        (MODEL, "field `mean`"),
        (MODEL.replace("mean(x)", "sum(mean[0](x))"), "field `mean`"),
        ("fn f[N](x: f64[N]) -> f64 {\n    let sum = 0.0\n    sum(x)\n}\n", "value `sum`"),
    ):
        with pytest.raises(Error) as caught:
            dmc.loads(text)
        (problem,) = caught.value.diagnostics
        assert problem.title.startswith(f"the {what} hides the function")
    dmc.loads(MODEL.replace("state mean", "state mean_"))


def test_helps_in_words() -> None:
    for text, code, word in (
        ("import numpy\n", "name.module", "`exp`"),
        ("fn f(x: f64) -> f64 {\n    let y = { let z = x\n    z }\n    y\n}\n", "syntax", "lines"),
        ("fn f(k: Key) -> f64 = split(k, 400)\n", "type.mismatch", ""),
    ):
        with pytest.raises(Error) as caught:
            dmc.loads(text)
        problem = caught.value.diagnostics[0]
        assert problem.code.startswith(code)
        assert word in "".join(problem.help)
        assert len(str(caught.value)) < 500


def test_a_number_used_as_a_size_becomes_a_dim() -> None:
    body = "fn f() -> f64[n] {{\n{}    let y: f64[n] = zeros\n    y\n}}\n"
    with pytest.raises(Error) as caught:
        dmc.loads(body.replace("-> f64[n]", "-> f64[10]").format("    let n = 10\n"))
    assert "`dim n = 10`" in caught.value.diagnostics[0].help[0]
    dmc.loads("dim n = 10\n" + body.format(""))


@pytest.mark.parametrize("word", ["break", "continue"])
@pytest.mark.parametrize(
    "body", ["{}", "if x > 0.0 {{ {} }}", "if {} {{ s = x }}", "s = {}", "s = x + {}"]
)
def test_words_of_other_languages_are_met_anywhere(word: str, body: str) -> None:
    text = (
        f"fn f(x: f64) -> f64 {{\n    var s = 0.0\n    for i in 0..3 {{\n        {body}\n    }}\n"
    )
    with pytest.raises(Error) as caught:
        dmc.loads(text.replace(body, body.format(word)) + "    s\n}\n")
    problem = caught.value.diagnostics[0]
    assert problem.title == f"dm has no `{word}`"
    assert "`while s < 10.0 {" in problem.help[0] or "an `if s < 10.0 {" in problem.help[0]
