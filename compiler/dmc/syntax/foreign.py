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
    "def": Habit("functions start with `fn`", "write `fn name(x: f64) -> f64 = x`"),
    "func": Habit("functions start with `fn`", "write `fn name(x: f64) -> f64 = x`"),
    "function": Habit("functions start with `fn`", "write `fn name(x: f64) -> f64 = x`"),
    "lambda": Habit("a function value starts with `fn`", "write `fn(x) => x + 1.0`"),
    "elif": Habit("the word is `else if`", "write `else if`"),
    "class": Habit("data is a `struct`, a network a `model`", "write `struct` or `model`"),
    "const": Habit("constants are defined with `let`", "write `let`"),
    "break": Habit(
        "loops end by their count or condition",
        "give the loop a condition: `while s < 10.0 { s += 1.0 }`",
    ),
    "continue": Habit(
        "loops have no jumps", "put the rest of the body into an `if s < 10.0 { s += 1.0 }`"
    ),
    "pass": Habit("a body may be empty", "write `{ }`"),
    "yield": Habit("a loop's value is the stack of its body's values", "end the body with it"),
    "print": Habit("programs compute and do not print", "return the value and print it in Python"),
    "assert": Habit(
        "sizes are checked by `requires`, values are not",
        "of sizes: `requires N > 0` in the signature; of values: return `(x, x > 0.0)` to Python",
    ),
    "raise": Habit("dm has no exceptions", "return a flag beside the value: `(x, x > 0.0)`"),
    "try": Habit("dm has no exceptions", "return a flag beside the value: `(x, x > 0.0)`"),
    "global": Habit("functions see only their arguments and constants", "pass it as an argument"),
    "del": Habit("values have no lifetime to manage", "delete the statement"),
}
"""Words that are statements elsewhere. They are not reserved, so they are found by the error."""

INNER_WORDS: dict[str, Habit] = {
    word: Habit("this is a declaration", "move it to the left margin, outside any function")
    for word in ("import", "from", "struct", "model", "derivative")
}
"""Words of dm in places where only statements and members stand."""

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
