"""Forms of other languages at the place where the parser stopped: what dm writes instead."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dmc.diagnostics.diagnostic import Diagnostic
from dmc.syntax import foreign
from dmc.syntax.scan import Kind, Lexeme, closes, opens
from dmc.syntax.situation import Situation

__all__ = ["FORMS", "WORDS"]


def _foreign_word(s: Situation) -> Diagnostic | None:
    for lexeme in (s.previous, s.found):
        if lexeme is None or lexeme.kind is not Kind.WORD:
            continue
        habit = foreign.WORDS.get(lexeme.text)
        if habit is None and lexeme.leads and lexeme.column > 1:
            habit = foreign.INNER_WORDS.get(lexeme.text)
        if habit is not None:
            code = "syntax.return" if lexeme.text == "return" else "syntax.word"
            inner = lexeme.text in foreign.INNER_WORDS
            title = f"`{lexeme.text}` stands inside a declaration" if inner else ""
            return s.report(
                code,
                title or f"dm has no `{lexeme.text}`",
                habit.help,
                label=habit.fact,
                at=s.span(lexeme),
            )
    return None


def _foreign_character(s: Situation) -> Diagnostic | None:
    if s.found is None or s.found.kind is not Kind.OTHER:
        return None
    character = s.found.text[0]
    if character in foreign.QUOTES:
        transposes = character == "'" and s.after_expression
        help_ = "the transpose is `.T`" if transposes else "names and options stay on Python's side"
        if [x.text for x in s.before[-2:]] == ["einsum", "("]:
            help_ = "write the sum: `[i, j] => sum[k](a[i, k] * b[k, j])`"
        return s.report("syntax.string", "dm has no strings", help_)
    habit = foreign.CHARACTERS.get(character)
    if habit is not None:
        title = f"`{s.found.text}` is not part of dm"
        return s.report("syntax.character", title, habit.help, label=habit.fact)
    title = f"`{character}` cannot start anything in dm"
    help_ = "names are made of ASCII letters, digits and `_`"
    return s.report("syntax.character", title, help_)


def _comment(s: Situation) -> Diagnostic | None:
    if s.found is None or not s.found.leads or s.found.text not in ("//", "/"):
        return None
    return s.report("syntax.comment", "a comment starts with `#`", "write `#`, or `##` for docs")


def _several_names(s: Situation) -> Diagnostic | None:
    """`let a, b = …` and `for a, b in …`: several names stand in parentheses."""
    if s.found is None or s.found.text != "," or len(s.before) < 2:
        return None
    word, first = s.before[-2:]
    if word.text not in ("let", "var", "for") or first.kind is not Kind.WORD:
        return None
    names, rest = [first.text], s.after
    while len(rest) > 1 and rest[0].kind is Kind.WORD and rest[1].text == ",":
        names.append(rest[0].text)
        rest = rest[2:]
    if len(rest) < 2 or rest[0].kind is not Kind.WORD or rest[1].text not in ("=", "in", ":"):
        return None
    names.append(rest[0].text)
    title = "several names stand in parentheses"
    if word.text == "for" and len(rest) > 3 and rest[3].text == "(":
        over = rest[2].text
        if over in ("enumerate", "zip"):
            return _loop_over_index(s, over, names, rest[4:])
    text = f"{word.text} ({', '.join(names)}) {s.rest(rest[1])}"
    return s.report("syntax.separator", title, f"write `{text}`")


def _loop_over_index(s: Situation, over: str, names: list[str], inside: list[Lexeme]) -> Diagnostic:
    """`for i, v in enumerate(x)` and `for a, b in zip(x, y)`."""
    arrays = [x.text for x in inside[: len(names) * 2] if x.kind is Kind.WORD]
    index = names[0] if over == "enumerate" else "i"
    values = names[1:] if over == "enumerate" else names
    binds = "; ".join(f"let {v} = {x}[{index}]" for v, x in zip(values, arrays, strict=False))
    help_ = f"loop over the index, with the size of the axis: `for {index} in 0..N {{ {binds} }}`"
    return s.report("syntax.word", f"dm has no `{over}`", help_)


def _comprehension(s: Situation) -> Diagnostic | None:
    """`[f(i) for i in 0..N]` and `sum(f(i) for i in 0..N)`."""
    open_ = s.brackets().open
    if s.found is None or s.found.text != "for" or not open_ or open_[-1].text not in "[(":
        return None
    title = "dm has no comprehensions"
    inside = s.between(s.span(open_[-1]), s.here())[1:].strip()
    closing = _closing(s.after)
    words = [x.text for x in s.after[:2]]
    if closing is None or len(words) < 2 or words[1] != "in" or "if" in {x.text for x in s.after}:
        return s.report("syntax.unexpected", title, "write a builder: `[i in 0..N] => 2.0 * i`")
    over = s.between(s.span(s.after[2]), s.span(closing)).strip()
    if over.startswith("range(") and over.endswith(")"):
        ends = over[len("range(") : -1].split(",")
        over = "..".join(end.strip() for end in (["0", *ends] if len(ends) == 1 else ends[:2]))
    if over[:1].isupper() and over.isidentifier():
        over = f"0..{over}"  # a size
    if ".." in over:
        return s.report("syntax.unexpected", title, f"write `[{words[0]} in {over}] => {inside}`")
    help_ = f"a loop gives the stack of its values: `for {words[0]} in {over} {{ {inside} }}`"
    return s.report("syntax.unexpected", title, help_)


def _closing(after: Sequence[Lexeme]) -> Lexeme | None:
    """The bracket that closes what these lexemes stand in."""
    depth = 0
    for lexeme in after:
        depth += opens(lexeme.text) - closes(lexeme.text)
        if depth < 0:
            return lexeme
    return None


def _nested_function(s: Situation) -> Diagnostic | None:
    """A named function inside another."""
    found, word = s.found, s.previous
    if found is None or word is None or word.text != "fn" or found.kind is not Kind.WORD:
        return None
    begins = word.leads or s.before[-2].text in ("{", ";")
    if not begins or word.column == 1 or "LPAR" not in s.accepts:
        return None
    line = s.rest(found)
    parameters = line[len(found.text) :].split(")")[0].strip()
    body = next((x for x in s.after if x.line == found.line and x.text in ("=", "{")), None)
    title = "functions do not stand inside functions"
    if not parameters.startswith("(") or body is None:
        return s.report("syntax.declaration", title, "move it to the left margin")
    text = s.rest(body)
    text = text[1:].strip() if body.text == "=" else text
    help_ = f"write `let {found.text} = fn{parameters}) => {text}`, or move it to the left margin"
    return s.report("syntax.declaration", title, help_)


def _braced_record(s: Situation) -> Diagnostic | None:
    """`Point { x: 1.0, y: 2.0 }`."""
    name = s.previous
    if s.found is None or s.found.text != "{" or name is None or name.kind is not Kind.WORD:
        return None
    if not name.text[0].isupper() or [x.text for x in s.after[1:2]] not in ([":"], ["="], [","]):
        return None
    closing = next((x for x in s.after if x.text == "}"), None)
    if closing is None:
        return None
    text = s.between(s.span(s.after[0]), s.span(closing)).strip()
    fields = ", ".join(map(_as_argument, text.split(",")))
    title = "a record is made by calling its type"
    return s.report("syntax.unexpected", title, f"write `{name.text}({fields})`")


def _as_argument(field: str) -> str:
    name, _, value = field.partition(":")
    return (
        f"{name.strip()} = {value.strip() or name.strip()}" if "=" not in field else field.strip()
    )


def _named_argument(s: Situation) -> Diagnostic | None:
    """`f(x: 1.0)`."""
    name, open_ = s.previous, s.brackets().open
    if s.found is None or s.found.text != ":" or name is None or name.kind is not Kind.WORD:
        return None
    if not open_ or open_[-1].text != "(" or "EQ" not in s.accepts:
        return None
    title = "an argument is named with `=`"
    return s.report("syntax.unexpected", title, f"write `{name.text} = …`")


Rule = Callable[[Situation], Diagnostic | None]


def _function_type(s: Situation) -> Diagnostic | None:
    """`f: fn(f64) -> f64`."""
    if s.found is None or s.found.text != "fn" or s.expects_expression or "LPAR" not in s.accepts:
        return None
    if not s.after or s.after[0].text != "(":
        return None
    closing = _closing(s.after[1:])
    if closing is None:
        return None
    parameters = s.between(s.span(s.after[0]), s.span(closing)).strip()
    behind = s.after[s.after.index(closing) + 1 :]
    result = behind[1].text if len(behind) > 1 and behind[0].text == "->" else "f64"
    title = "the type of a function has no `fn`"
    return s.report("syntax.reserved", title, f"write `{parameters}) -> {result}`")


def _bare_function_type(s: Situation) -> Diagnostic | None:
    """`f: f64 -> f64`."""
    open_ = s.brackets().open
    if s.found is None or s.found.text != "->" or not open_ or open_[-1].text != "(":
        return None
    colon = next((x for x in reversed(s.before) if x.text in (":", "(", ",")), None)
    if colon is None or colon.text != ":" or not s.after:
        return None
    parameter = s.between(s.span(colon), s.here())[1:].strip()
    closing = _closing(s.after)
    end = next((x for x in s.after if x.text == "," or x is closing), None)
    result = s.between(s.span(s.after[0]), s.span(end)).strip() if end is not None else "f64"
    title = "the type of a function has its parameters in parentheses"
    return s.report("syntax.arrow", title, f"write `({parameter}) -> {result}`")


def _bare_lambda(s: Situation) -> Diagnostic | None:
    """`(t) => t * t`."""
    last = s.previous
    if s.found is None or s.found.text != "=>" or last is None or last.text != ")":
        return None
    depth, start = 0, last
    for lexeme in reversed(s.before):
        depth += closes(lexeme.text) - opens(lexeme.text)
        start = lexeme
        if depth == 0:
            break
    closing = _closing(s.after)
    end = next((x for x in s.after if x is closing or _is_comma_of(s.after, x)), None)
    body = s.between(s.span(s.after[0]), s.span(end)).strip() if end is not None else "…"
    text = f"fn{s.between(s.span(start), s.here()).strip()} => {body}"
    return s.report("syntax.arrow", "a function value starts with `fn`", f"write `{text}`")


def _is_comma_of(after: Sequence[Lexeme], lexeme: Lexeme) -> bool:
    """Whether this is a comma outside of all brackets that open behind."""
    before = after[: after.index(lexeme)]
    return lexeme.text == "," and sum(opens(x.text) - closes(x.text) for x in before) == 0


def _colon_block(s: Situation) -> Diagnostic | None:
    """`for i in 0..N:`."""
    if s.found is None or s.found.text != ":" or "LBRACE" not in s.accepts:
        return None
    head = next((x for x in s.before if x.leads and x.line == s.found.line), None)
    if head is None:
        return None
    text = s.between(s.span(head), s.here()).strip()
    return s.report("syntax.unexpected", "a block stands in braces", f"write `{text} {{`")


def _array_type(s: Situation) -> Diagnostic | None:
    """`x: [f64; 3]`, `x: [3]f64`, and `cells: [K]Cell`."""
    if s.found is None or s.found.text != "[" or s.expects_expression or not s.after:
        return None
    if s.previous is None or s.previous.text not in (":", "->") or "NAME" not in s.accepts:
        return None
    closing = _closing(s.after)
    if closing is None:
        return None
    inside = s.between(s.span(s.after[0]), s.span(closing)).strip()
    element, _, size = inside.replace(",", ";").partition(";")
    text = f"{element.strip()}[{size.strip() or 'N'}]"
    behind = s.after[s.after.index(closing) + 1 :]
    if not size and behind and behind[0].text.isidentifier():
        of, count = behind[0].text, element.strip()
        text = f"{count} * {of}" if of[0].isupper() else f"{of}[{count}]"
    title = "the type of an array starts with that of its elements"
    return s.report("syntax.unexpected", title, f"write `{text}`")


def _typed_rule(s: Situation) -> Diagnostic | None:
    """`derivative f(x: f64, dx: f64) -> f64 = …`."""
    words = s.first_words
    if s.found is None or s.found.text != ":" or words[:1] != ["derivative"]:
        return None
    name = next((x.text for x in s.before[1:] if x.text != "unchecked"), "f")
    title = "a rule names the inputs and the result; their types are those of the function"
    help_ = f"as in `derivative {name}(x) -> y {{ jvp(dx) = 2.0 * x * dx }}`"
    return s.report("syntax.unexpected", title, help_)


WORDS: tuple[Rule, ...] = (_foreign_word, _foreign_character, _comment)
"""Words and characters, which no other rule explains better."""

FORMS: tuple[Rule, ...] = (
    _several_names,
    _comprehension,
    _nested_function,
    _braced_record,
    _named_argument,
    _function_type,
    _bare_function_type,
    _bare_lambda,
    _colon_block,
    _array_type,
    _typed_rule,
)
"""Forms that are explained after slips in brackets, numbers and operators."""
