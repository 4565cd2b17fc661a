"""Error codes of the family `type`: types that do not fit."""

from __future__ import annotations

from dmc.diagnostics.codes.code import Code, Language

CODES: tuple[Code, ...] = (
    Code(
        "type.mixed",
        "two element types do not mix",
        "There is no implicit promotion, because it decides precision and speed behind "
        "your back. Literals and sizes adapt to what they meet; values never do. "
        "Convert one side: `f32(h)`.",
        "fn scale[N](x: f32[N], h: f64) -> f32[N] = 2.0 * x * h\n",
        "fn scale[N](x: f32[N], h: f64) -> f32[N] = 2.0 * x * f32(h)\n",
    ),
    Code(
        "type.mismatch",
        "a value of one type stands where another is wanted",
        "The second place that the message marks says what is wanted: a signature, a "
        "declaration or the other branch.",
        "fn f(x: f64) -> i64 = x\n",
        "fn f(x: f64) -> i64 = i64(x)\n",
    ),
    Code(
        "type.arguments",
        "brackets after a type or function that do not fit its parameters",
        "Each generic parameter takes a size, a shape `*S`, an element type or a record, "
        "as declared.",
        "struct P[N] {\n    w: f64[N]\n}\n\nfn f[N](p: P[N, N]) -> f64 = sum(p.w)\n",
        "struct P[N] {\n    w: f64[N]\n}\n\nfn f[N](p: P[N]) -> f64 = sum(p.w)\n",
    ),
    Code(
        "type.array",
        "items that do not make an array",
        "The items of an array literal, a builder or a stack have one type; keys, "
        "functions and tuples are not stored in arrays.",
        "fn f(x: f64, b: bool) -> f64 = sum([x, b])\n",
        "fn f(x: f64, b: f64) -> f64 = sum([x, b])\n",
    ),
    Code(
        "type.bool",
        "something that is not a truth value",
        "Conditions are single truth values, and numbers are compared to give them. "
        "Element by element one chooses with `where`.",
        "fn f(x: f64) -> f64 = if x { 1.0 } else { 0.0 }\n",
        "fn f(x: f64) -> f64 = if x > 0.0 { 1.0 } else { 0.0 }\n",
    ),
    Code(
        "type.branch",
        "the branches of an `if` differ in type",
        "An `if` with a value has an `else` with a value of the same type.",
        "fn f[N](x: f64[N], c: bool) -> f64 = if c { sum(x) } else { x }\n",
        "fn f[N](x: f64[N], c: bool) -> f64 = if c { sum(x) } else { x[0] }\n",
    ),
    Code(
        "type.cast",
        "a record whose element types are fixed",
        "`cast` gives another type to the elements of a record that its declaration leaves open, "
        "with a parameter `F: float`.",
        "struct P[N] {\n    w: f32[N]\n}\n\nfn f[N](p: P[N]) -> f32 = f32(sum(cast[f16](p).w))\n",
        "struct P[N, F: float = f32] {\n    w: F[N]\n}\n\n"
        "fn f[N](p: P[N]) -> f32 = f32(sum(cast[f16](p).w))\n",
    ),
    Code(
        "type.call",
        "a call of something that is not a function",
        "Functions, models with a `forward` and function values are called.",
        "fn f(x: f64) -> f64 = x(2.0)\n",
        "fn f(x: f64) -> f64 = x * 2.0\n",
    ),
    Code(
        "type.field",
        "a value without fields, or a field that cannot be",
        "Records have fields. Tuples are taken apart with `let (a, b) = …`. Functions are "
        "not data.",
        "fn f(x: f64) -> f64 = x.size\n",
        "struct P {\n    size: f64\n}\n\nfn f(x: P) -> f64 = x.size\n",
    ),
    Code(
        "type.name",
        "something that is not a type",
        "Types are element types, `Key`, structs and models, `Grad[T]`, stacks and tuples.",
        "fn g(x: f64) -> f64 = x\n\nfn f(x: g) -> f64 = 1.0\n",
        "struct g {\n    x: f64\n}\n\nfn f(x: g) -> f64 = x.x\n",
    ),
    Code(
        "type.operand",
        "an operation does not take a value of this type",
        "Arithmetic is on numbers, arrays of them and records; division and the functions "
        "of analysis are on floats.",
        "fn f(n: i64) -> f64 = sqrt(n)\n",
        "fn f(n: i64) -> f64 = sqrt(f64(n))\n",
    ),
    Code(
        "type.parameter",
        "the type of a lambda's parameter is not known",
        "It comes from where the lambda is passed or called; elsewhere it is written.",
        "fn f(x: f64) -> f64 {\n    let g = fn(t) => t * t\n    g(x)\n}\n",
        "fn f(x: f64) -> f64 {\n    let g = fn(t: f64) => t * t\n    g(x)\n}\n",
    ),
    Code(
        "type.pattern",
        "a value does not come apart as written",
        "A pattern has as many parts as the tuple.",
        "fn f(x: f64) -> f64 {\n    let (a, b) = (x, x, x)\n    a + b\n}\n",
        "fn f(x: f64) -> f64 {\n    let (a, b, c) = (x, x, x)\n    a + b + c\n}\n",
    ),
    Code(
        "type.range",
        "a range or limit that is not a whole number",
        "Ranges run over whole numbers.",
        "fn f(x: f64) -> f64 {\n    var t = 0.0\n    for i in 0..x { t += 1.0 }\n    t\n}\n",
        "fn f(x: i64) -> f64 {\n    var t = 0.0\n    for i in 0..x { t += 1.0 }\n    t\n}\n",
    ),
    Code(
        "type.record",
        "records that do not have the same parts",
        "Arithmetic on records goes leaf by leaf, so both have the same parts; a model "
        "moves along its `Grad`.",
        "struct A {\n    x: f64\n}\n\nstruct B {\n    x: f64\n}\n\nfn f(a: A, b: B) -> A = a + b\n",
        "struct A {\n    x: f64\n}\n\nfn f(a: A, b: A) -> A = a + b\n",
    ),
    Code(
        "type.recursive",
        "a record contains itself",
        "Records are finite: each holds arrays and smaller records.",
        "struct A {\n    x: f64\n    next: A\n}\n",
        "struct A {\n    x: f64\n    next: f64\n}\n",
    ),
    Code(
        "type.value",
        "a type or function stands where a value is wanted",
        "Records are built by a call, `Camera(focal = f)`; a type converts, `f32(x)`.",
        "struct A {\n    x: f64\n}\n\nfn f(x: f64) -> f64 = A + x\n",
        "struct A {\n    x: f64\n}\n\nfn f(x: f64) -> f64 = A(x).x + x\n",
    ),
    Code(
        "type.argument",
        "an argument from Python has another element type than declared",
        "Arrays already have the declared element type; nothing is converted behind your back. "
        "Python numbers adapt.",
        'mod = dmc.loads("fn f(x: f64[3]) -> f64 = sum(x)")\nmod.f(np.zeros(3, np.float32))\n',
        'mod = dmc.loads("fn f(x: f64[3]) -> f64 = sum(x)")\nmod.f(np.zeros(3))\n',
        Language.PYTHON,
    ),
)
