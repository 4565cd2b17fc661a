"""Error codes of the family `syntax`: text that is not dm."""

from __future__ import annotations

from dmc.diagnostics.codes.code import Code

CODES: tuple[Code, ...] = (
    Code(
        "syntax.return",
        "dm has no `return`",
        "The value of a block is that of its last expression. With no early exit every path "
        "through a function is visible, which is what lets it be differentiated.",
        "fn square(x: f64) -> f64 {\n    return x * x\n}\n",
        "fn square(x: f64) -> f64 {\n    x * x\n}\n",
    ),
    Code(
        "syntax.word",
        "a word of another language",
        "Words such as `def`, `lambda`, `elif` or `break` mean nothing in dm. The message says "
        "what is written instead.",
        "fn clip(x: f64) -> f64 {\n    if x > 1.0 { 1.0 } elif x < 0.0 { 0.0 } else { x }\n}\n",
        "fn clip(x: f64) -> f64 {\n    if x > 1.0 { 1.0 } else if x < 0.0 { 0.0 } else { x }\n}\n",
    ),
    Code(
        "syntax.chained",
        "comparisons do not chain",
        "A comparison has a truth value, and truth values are not ordered. Join two comparisons "
        "with `and`.",
        "fn inside(x: f64) -> bool = 0.0 < x < 1.0\n",
        "fn inside(x: f64) -> bool = 0.0 < x and x < 1.0\n",
    ),
    Code(
        "syntax.equals",
        "`=` and `==` are confused",
        "`=` defines and assigns, and is a statement; `==` compares, and is an expression.",
        "fn f(x: f64) -> f64 = if x = 0.0 { 1.0 } else { x }\n",
        "fn f(x: f64) -> f64 = if x == 0.0 { 1.0 } else { x }\n",
    ),
    Code(
        "syntax.target",
        "this expression cannot be assigned to",
        "What stands left of `=` is a `var`, an element or slice of one, a field, or a tuple of "
        "these. The value of a call has no place that could be changed.",
        "fn f(x: f64[3]) -> f64 {\n    var a = x\n    sum(a) = 1.0\n    a[0]\n}\n",
        "fn f(x: f64[3]) -> f64 {\n    var a = x\n    a[0] = 1.0\n    a[0]\n}\n",
    ),
    Code(
        "syntax.unclosed",
        "a bracket is never closed",
        "The bracket marked was still open where its declaration ended, where another bracket "
        "closed, or where a line began that is not indented into it.",
        "fn f(x: f64) -> f64 {\n    let a = exp(x\n    let b = 2.0\n    a * b\n}\n",
        "fn f(x: f64) -> f64 {\n    let a = exp(x)\n    let b = 2.0\n    a * b\n}\n",
    ),
    Code(
        "syntax.unopened",
        "a bracket closes nothing",
        "There is no open bracket for this one to close.",
        "fn f(x: f64) -> f64 = exp(x))\n",
        "fn f(x: f64) -> f64 = exp(x)\n",
    ),
    Code(
        "syntax.mismatched",
        "a bracket is closed by another kind",
        "`( )` hold values, `[ ]` what the compiler knows, `{ }` statements; each closes its own.",
        "fn f(x: f64[3]) -> f64 = sum(x]\n",
        "fn f(x: f64[3]) -> f64 = sum(x)\n",
    ),
    Code(
        "syntax.tab",
        "dm has no tabs",
        "Indentation decides where statements end, and a tab has no width that all editors agree "
        "on. Indent with spaces.",
        "fn f(x: f64) -> f64 {\n\tx\n}\n",
        "fn f(x: f64) -> f64 {\n    x\n}\n",
    ),
    Code(
        "syntax.string",
        "dm has no strings",
        "Programs compute with numbers. Names of files, columns and options stay on Python's side; "
        "a choice known before the run is a `bool` or a function argument. The transpose of `x` is "
        "`x.T`.",
        "fn f(x: f64[2, 2]) -> f64[2, 2] = x'\n",
        "fn f(x: f64[2, 2]) -> f64[2, 2] = x.T\n",
    ),
    Code(
        "syntax.number",
        "a number is not written as dm writes it",
        "A float has digits on both sides of its point, or an exponent: `1.` would make `0..n` "
        "ambiguous. Integers are decimal and fit 64 bits; `_` may separate digits.",
        "fn f(x: f64) -> f64 = .5 * x\n",
        "fn f(x: f64) -> f64 = 0.5 * x\n",
    ),
    Code(
        "syntax.field",
        "the parts of a tuple have no numbers",
        "A tuple is taken apart by a pattern. Where parts deserve names, use a `struct`.",
        "fn f(x: f64) -> f64 {\n    let t = (x, 2.0)\n    t.0\n}\n",
        "fn f(x: f64) -> f64 {\n    let (a, _) = (x, 2.0)\n    a\n}\n",
    ),
    Code(
        "syntax.character",
        "a character that starts nothing in dm",
        "Names are made of ASCII letters, digits and `_`; operators are listed in the language "
        "reference. Comments may hold any text but control characters.",
        "fn f(a: bool, b: bool) -> bool = a && b\n",
        "fn f(a: bool, b: bool) -> bool = a and b\n",
    ),
    Code(
        "syntax.comment",
        "a comment starts with `#`",
        "`//` divides and rounds down. `##` documents the declaration that follows.",
        "// the square\nfn f(x: f64) -> f64 = x * x\n",
        "# the square\nfn f(x: f64) -> f64 = x * x\n",
    ),
    Code(
        "syntax.range",
        "a range stands only after `in`",
        "`a..b` is no value: it says what a loop or an index runs over. `arange[N]` makes an array "
        "of consecutive numbers.",
        "fn f(n: i64) -> f64 {\n    let r = 0..n\n    0.0\n}\n",
        "fn f(n: i64) -> f64 {\n    var s = 0.0\n    for i in 0..n { s += f64(i) }\n    s\n}\n",
    ),
    Code(
        "syntax.increment",
        "dm has no `++`",
        "Write `x += 1`, which is a statement and has no value.",
        "fn f(n: i64) -> i64 {\n    var x = n\n    x++\n    x\n}\n",
        "fn f(n: i64) -> i64 {\n    var x = n\n    x += 1\n    x\n}\n",
    ),
    Code(
        "syntax.arrow",
        "the body of a function value follows `=>`",
        "`->` stands before the type of a result; `=>` stands before the body of a function value "
        "or of a builder.",
        "fn f(x: f64) -> f64 {\n    let g = fn(y: f64) -> y * y\n    g(x)\n}\n",
        "fn f(x: f64) -> f64 {\n    let g = fn(y: f64) => y * y\n    g(x)\n}\n",
    ),
    Code(
        "syntax.record",
        "no expression starts with `{`",
        "Braces hold statements. Records are built by calling their type with named fields.",
        "struct P {\n    x: f64\n}\n\nfn f(x: f64) -> P = { x: x }\n",
        "struct P {\n    x: f64\n}\n\nfn f(x: f64) -> P = P(x = x)\n",
    ),
    Code(
        "syntax.conditional",
        "the condition comes first",
        "`if` is an expression and its condition stands in front, so that one reads a program in "
        "the order in which it runs.",
        "fn relu(x: f64) -> f64 = x if x > 0.0 else 0.0\n",
        "fn relu(x: f64) -> f64 = if x > 0.0 { x } else { 0.0 }\n",
    ),
    Code(
        "syntax.separator",
        "something is missing between two parts of a line",
        "Statements, fields and members end with their line; `;` puts two on one line. Two values "
        "side by side need an operator between them.",
        "struct P { x: f64, y: f64 }\n",
        "struct P { x: f64; y: f64 }\n",
    ),
    Code(
        "syntax.result",
        "a function does not state the type of its result",
        "Signatures are complete, so that a mistake inside a function is reported there and not "
        "where it is called. Bodies are inferred.",
        "fn square(x: f64) = x * x\n",
        "fn square(x: f64) -> f64 = x * x\n",
    ),
    Code(
        "syntax.type",
        "a parameter or field has no type",
        "Signatures are complete, and types hold the shapes that the compiler checks.",
        "fn square(x) -> f64 = x * x\n",
        "fn square(x: f64) -> f64 = x * x\n",
    ),
    Code(
        "syntax.value",
        "a definition has no value",
        "There are no uninitialised values. `zeros` and `ones` take their shape from the type.",
        "fn f(x: f64) -> f64 {\n    var s: f64\n    s = x\n    s\n}\n",
        "fn f(x: f64) -> f64 {\n    var s: f64 = 0.0\n    s = x\n    s\n}\n",
    ),
    Code(
        "syntax.reserved",
        "a reserved word cannot be a name",
        "Reserved are: let var fn mut if else for in while and or not true false checkpoint. Words "
        "such as `model`, `param` or `state` may be names.",
        "fn f(in: f64) -> f64 = in\n",
        "fn f(x: f64) -> f64 = x\n",
    ),
    Code(
        "syntax.declaration",
        "only declarations stand outside functions",
        "A file is a list of declarations: `import`, `from`, `dim`, `let`, `struct`, `model`, `fn` "
        "and `derivative`. A constant is declared with `let`.",
        "rate = 0.1\n",
        "let rate = 0.1\n",
    ),
    Code(
        "syntax.member",
        "this is no member of a struct or model",
        "A model holds `param`, `state`, `dim`, sub-models and functions; a struct holds fields. "
        "The role of an array in a model decides whether it is trained, so it is always written.",
        "model M {\n    w: f32[3] = zeros\n}\n",
        "model M {\n    param w: f32[3] = zeros\n}\n",
    ),
    Code(
        "syntax.nesting",
        "the program is nested too deeply",
        "Every stage of the compiler walks over the tree of the program, and the limit keeps them "
        "safe. Long sums, and other chains of operators, do not nest.",
        "fn f(x: f64) -> f64 = " + "not\n    " * 200 + "true\n",
        "fn f(x: f64) -> bool = not true\n",
    ),
    Code(
        "syntax.line",
        "a line is too long",
        "Programs are written for people; data is passed in as arrays. Break the line after an "
        "operator or inside brackets.",
        "let a = " + "1.0 + " * 2000 + "1.0\n",
        "let a = 2001.0\n",
    ),
    Code(
        "syntax.unexpected",
        "the text fits no rule of the grammar",
        "The message says what could have stood there. The mistake may be a little earlier: look "
        "at the word before the mark as well.",
        "fn f(x: f64) -> f64 {\n    let a = ; 3.0\n    a\n}\n",
        "fn f(x: f64) -> f64 {\n    let a = 3.0\n    a\n}\n",
    ),
)
