"""What other languages have and dm spells differently: the parser and the checker point to it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Habit:
    """Why something is not dm (`fact`, beside the caret) and what to write (`help`)."""

    fact: str
    help: str


WORDS: dict[str, Habit] = {
    "return": Habit("a block's value is its last expression", "delete the word `return`"),
    "def": Habit("functions start with `fn`", "write `fn name(x: f64) -> f64 { ... }`"),
    "func": Habit("functions start with `fn`", "write `fn name(x: f64) -> f64 { ... }`"),
    "function": Habit("functions start with `fn`", "write `fn name(x: f64) -> f64 { ... }`"),
    "lambda": Habit("a function value starts with `fn`", "write `fn(x) => ...`"),
    "elif": Habit("the word is `else if`", "write `else if`"),
    "class": Habit("data is a `struct`, a network a `model`", "write `struct` or `model`"),
    "const": Habit("constants are defined with `let`", "write `let`"),
    "break": Habit("loops end by their count or condition", "put the condition into `while`"),
    "continue": Habit("loops have no jumps", "put the rest of the body into `if`"),
    "pass": Habit("a body may be empty", "write `{ }`"),
    "yield": Habit("a loop's value is the stack of its body's values", "end the body with it"),
    "print": Habit("programs compute and do not print", "return the value and print it in Python"),
    "assert": Habit("sizes are checked by `requires`", "write `requires N > 0` in the signature"),
    "raise": Habit("dm has no exceptions", "return a flag or a masked value"),
    "try": Habit("dm has no exceptions", "return a flag or a masked value"),
    "global": Habit("functions see only their arguments and constants", "pass it as an argument"),
    "del": Habit("values have no lifetime to manage", "delete the statement"),
}
"""Words that are statements elsewhere. They are not reserved, so they are found by the error."""

INNER_WORDS: dict[str, Habit] = {
    word: Habit("this is a declaration", "move it to the left margin, outside any function")
    for word in ("import", "from", "struct", "model", "derivative")
}
"""Words of dm in places where only statements and members stand."""

_ARRAYS = "functions of arrays stand alone: `sum(x)`, `exp(x)`"

NAMES: dict[str, str] = {
    "True": "write `true`",
    "False": "write `false`",
    "None": "write `()`, or leave it out",
    "null": "write `()`, or leave it out",
    "float": "write `f64`, or `f32`",
    "double": "write `f64`",
    "int": "write `i64`, or `i32`",
    "float32": "write `f32`",
    "float64": "write `f64`",
    "int32": "write `i32`",
    "int64": "write `i64`",
    "Tensor": "name elements and shape: `f32[B, D]`",
    "Array": "name elements and shape: `f32[B, D]`",
    "range": "write `for i in 0..n`",
    "len": "the size has a name: `N` for `x: f64[N]`",
    "print": "return the value and print it in Python",
    "np": _ARRAYS,
    "jnp": _ARRAYS,
    "numpy": _ARRAYS,
    "math": _ARRAYS,
    "torch": _ARRAYS,
    "norm": "write `sqrt(sum(x * x))`",
    "dot": "write `x @ y`",
    "matmul": "write `a @ b`",
    "outer": "write a builder: `[i, j] => x[i] * y[j]`",
    "transpose": "write `x.T`, or `[i, j] => x[j, i]`",
    "stack": "write a builder over what is stacked, or `concat`",
    "pow": "write `x ** n`",
    "ln": "write `log(x)`",
    "fabs": "write `abs(x)`",
    "square": "write `x ** 2`",
    "var": "write `mean((x - mean(x)) ** 2)`",
    "std": "write `sqrt(mean((x - mean(x)) ** 2))`",
    "zeros_like": "write `zeros`: its shape comes from where it is used",
    "ones_like": "write `ones`: its shape comes from where it is used",
    "vmap": "write a builder: `[n] => f(x[n])`",
    "einsum": "write the sum: `[i, j] => sum[k](a[i, k] * b[k, j])`",
}
"""Names that someone may use for a thing of dm; for the checker's suggestions."""

CHARACTERS: dict[str, Habit] = {
    "&": Habit("not an operator of dm", "write `and`"),
    "|": Habit("not an operator of dm", "write `or`; a pipe is `|>`"),
    "!": Habit("not an operator of dm", "write `not`"),
    "~": Habit("not an operator of dm", "write `not`"),
    "^": Habit("not an operator of dm", "write `**` for powers"),
    "?": Habit("not an operator of dm", "write `if c { a } else { b }`"),
    "$": Habit("not a sign of dm", "delete it"),
    "`": Habit("not a sign of dm", "delete it"),
    "\\": Habit("a line continues when the next is indented deeper", "delete the backslash"),
    "×": Habit("not an operator of dm", "write `*`"),
    "·": Habit("not an operator of dm", "write `*` or `@`"),
    "÷": Habit("not an operator of dm", "write `/`"),
    "−": Habit("a minus sign that is not ASCII", "write `-`"),
    "–": Habit("a dash, not a minus sign", "write `-`"),
    "≤": Habit("not an operator of dm", "write `<=`"),
    "≥": Habit("not an operator of dm", "write `>=`"),
    "≠": Habit("not an operator of dm", "write `!=`"),
    "→": Habit("not a sign of dm", "write `->`"),
    "⇒": Habit("not a sign of dm", "write `=>`"),
    "\N{NO-BREAK SPACE}": Habit("a space that is not ASCII", "write an ordinary space"),
}
"""Characters that start no token of dm."""

QUOTES = frozenset("\"'“”‘’«»")
"""Characters that open or close strings elsewhere."""
