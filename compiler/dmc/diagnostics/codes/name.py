"""Error codes of the family `name`: names that are unknown or taken."""

from __future__ import annotations

from dmc.diagnostics.codes.code import Code

CODES: tuple[Code, ...] = (
    Code(
        "name.unknown",
        "there is nothing of this name here",
        "Names are those of the file, its imports, the prelude, and what the function "
        "declares before the line. In a model its fields and functions are in scope. "
        "When a known name is close, the message shows it.",
        "fn f(x: f64) -> f64 = sqrtt(x)\n",
        "fn f(x: f64) -> f64 = sqrt(x)\n",
    ),
    Code(
        "name.duplicate",
        "a name is declared twice",
        "Sizes, values, functions and types share one namespace, so that a name means one thing.",
        "fn f(x: f64) -> f64 = x\n\nfn f(x: f32) -> f32 = x\n",
        "fn f(x: f64) -> f64 = x\n\nfn f32_of(x: f32) -> f32 = x\n",
    ),
    Code(
        "name.shadowed",
        "a local takes a name that is already in scope",
        "Shadowing a local, a field or a size hides mistakes. To change a value declare "
        "it with `var`; otherwise choose another name.",
        "fn f(x: f64) -> f64 {\n    let x = 2.0\n    x\n}\n",
        "fn f(x: f64) -> f64 {\n    let y = 2.0 * x\n    y\n}\n",
    ),
    Code(
        "name.field",
        "a record has no such field",
        "The fields are those of the declaration; the message shows a close one.",
        "struct P {\n    x: f64\n}\n\nfn f(p: P) -> f64 = p.y\n",
        "struct P {\n    x: f64\n}\n\nfn f(p: P) -> f64 = p.x\n",
    ),
    Code(
        "name.module",
        "an imported module is not there",
        "`import a.b` is `a/b.dm` beside the file, or in the standard library.",
        "import neural\n\nfn f(x: f64) -> f64 = x\n",
        "import nn\n\nfn f(x: f64) -> f64 = x\n",
    ),
    Code(
        "name.cycle",
        "modules import each other",
        "Each module is checked after those it imports. Move what both need into a third.",
        "",
        "",
    ),
    Code(
        "name.recursive",
        "a function calls itself",
        "Loops suffice for numerical work, and without recursion the memory of reverse "
        "mode stays bounded. Use `for` or `while`. A rule of a `derivative` may call its "
        "function, but take no derivative that needs this one.",
        "fn f(n: i64) -> i64 = if n > 0 { n * f(n - 1) } else { 1 }\n",
        "fn f(n: i64) -> i64 {\n    var t = 1\n    for i in 0..n { t = t * (i + 1) }\n    t\n}\n",
    ),
)
