"""Why a text does not parse: common slips by name, the rest by what was expected."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Protocol, cast

from lark import Token
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from dmc.diagnostics.diagnostic import Diagnostic, Label
from dmc.ir.location import SourceFile, Span
from dmc.syntax import habits
from dmc.syntax.expected import describe
from dmc.syntax.layout import NEWLINE
from dmc.syntax.recovery import Chunk
from dmc.syntax.scan import Kind, Lexeme, closer_of, closes, scan
from dmc.syntax.situation import Situation
from dmc.syntax.tables import Steps

RESERVED = frozenset(
    "let var fn mut if else for in while and or not true false checkpoint".split()  # noqa: SIM905
)
"""The words that are never names."""

_END = "$END"
_COMPARISONS = frozenset(("==", "!=", "<", "<=", ">", ">="))


class _HasToken(Protocol):
    """What Lark leaves without a type."""

    token: Token


def explain(failure: UnexpectedInput, file: SourceFile, chunk: Chunk, again: Steps) -> Diagnostic:
    """The diagnostic for the first syntax error of a declaration.

    `again` is a fresh parse of the same text, to learn what could have stood there: the failure
    knows only what could follow after the parser had reduced, in vain, all that stood before.
    """
    situation = _situation(failure, file, chunk, again)
    for rule in _RULES:
        found = rule(situation)
        if found is not None:
            return found
    what = describe(situation.accepts)
    title = f"expected {what}, found {situation.spelled()}"
    return Diagnostic("syntax.unexpected", title, Label(situation.here()))


def _situation(failure: UnexpectedInput, file: SourceFile, chunk: Chunk, again: Steps) -> Situation:
    lexemes = scan(chunk.text, chunk.first_line)
    token_type = ""
    if isinstance(failure, UnexpectedToken):
        token_type = cast(_HasToken, failure).token.type
    accepts = _accepted(again, None if token_type == _END else (failure.line, failure.column))
    if token_type == _END:
        return Situation(file, lexemes, None, [], True, accepts)
    place = (failure.line + chunk.first_line - 1, failure.column)
    index = sum((lexeme.line, lexeme.column) < place for lexeme in lexemes)
    if token_type == NEWLINE:
        return Situation(file, lexemes[:index], None, lexemes[index:], False, accepts)
    is_split = index > 0 and _covers(lexemes[index - 1], place)
    index -= is_split
    found = lexemes[index] if index < len(lexemes) else None
    if found is not None and isinstance(failure, UnexpectedCharacters):
        twice = index + 1 < len(lexemes) and _touch(found, lexemes[index + 1])
        text = found.text[0] * (2 if twice and lexemes[index + 1].text == found.text else 1)
        found = Lexeme(Kind.OTHER, text, *place, found.indent, found.leads)
    before, after = lexemes[:index], lexemes[index + 1 :]
    return Situation(file, before, found, after, found is None, accepts, is_split)


def _accepted(again: Steps, place: tuple[int, int] | None) -> frozenset[str]:
    """The terminals that could stand at `place` (None: at the end)."""
    with contextlib.suppress(UnexpectedInput):
        for token in again.lexer_thread.lex(again.parser_state):
            if (token.line, token.column) == place:
                break
            again.feed_token(token)
    return frozenset(again.accepts())


def _covers(lexeme: Lexeme, place: tuple[int, int]) -> bool:
    line, column = place
    return lexeme.line == line and lexeme.column < column < lexeme.column + len(lexeme.text)


# ---- brackets -----------------------------------------------------------------------------------


def _wrong_closer(s: Situation) -> Diagnostic | None:
    if s.found is None or not closes(s.found.text):
        return None
    open_ = s.brackets().open
    closer = s.found.text
    if not open_:
        return s.report("syntax.unopened", f"`{closer}` closes nothing", f"delete the `{closer}`")
    top = open_[-1]
    if closer_of(top.text) == closer:
        return None
    if any(closer_of(opener.text) == closer for opener in open_):
        return _unclosed(s, top, Label(s.span(s.found), "something else ends here"))
    return Diagnostic(
        "syntax.mismatched",
        f"`{top.text}` is closed by `{closer}`",
        Label(s.here(), f"should be `{closer_of(top.text)}`"),
        (Label(s.span(top), "opened here"),),
        help=(f"write `{closer_of(top.text)}`",),
    )


def _missing_closer(s: Situation) -> Diagnostic | None:
    """An open bracket at the end, or before a line that is not indented into the bracket."""
    brackets = s.brackets()
    if not brackets.open or brackets.suspect is None:
        return None
    if s.at_end:
        return _unclosed(s, brackets.suspect)
    found, top = s.found, brackets.open[-1]
    if found is None or not found.leads or closes(found.text) or top.line == found.line:
        return None
    starts_statement = top.text != "{" and found.text in ("let", "var")
    if top.indent >= found.indent or starts_statement:
        return _unclosed(s, top, Label(s.span(found), "expected before this"))
    return None


def _unclosed(s: Situation, opener: Lexeme, *labels: Label) -> Diagnostic:
    closer = closer_of(opener.text)
    return Diagnostic(
        "syntax.unclosed",
        f"`{opener.text}` is never closed",
        Label(s.span(opener), "opened here"),
        labels,
        help=(f"add a `{closer}`",),
    )


# ---- numbers ------------------------------------------------------------------------------------


def _number(s: Situation) -> Diagnostic | None:
    digits = "a float has digits on both sides of the point"
    dot = s.previous
    if dot is not None and dot.text == "." and len(s.before) > 1:
        owner = s.before[-2]
        if owner.kind is Kind.NUMBER and _touch(owner, dot):
            at = _join(s.span(owner), s.span(dot))
            return s.report("syntax.number", digits, f"write `{owner.text}.0`", at=at)
        if s.found is not None and s.found.kind is Kind.NUMBER:
            title = "the parts of a tuple have no numbers"
            return s.report("syntax.field", title, "take it apart: `let (a, b) = t`")
    if s.found is None:
        return None
    if s.found.text == "." and s.after and s.after[0].kind is Kind.NUMBER:
        number = s.after[0]
        if _touch(s.found, number):
            at = _join(s.here(), s.span(number))
            return s.report("syntax.number", digits, f"write `0.{number.text}`", at=at)
    last = s.previous
    if s.found.kind is Kind.WORD and last is not None and last.kind is Kind.NUMBER:
        if not _touch(last, s.found):
            return None
        text = last.text + s.found.text
        based = last.text == "0" and s.found.text[0] in "xXbBoO"
        help_ = "write it in decimal" if based else f"write `{last.text} * {s.found.text}`"
        at = _join(s.span(last), s.here())
        return s.report("syntax.number", f"`{text}` is neither number nor name", help_, at=at)
    return None


def _touch(left: Lexeme, right: Lexeme) -> bool:
    return left.line == right.line and left.column + len(left.text) == right.column


def _join(first: Span, last: Span) -> Span:
    return Span(first.file, first.start_line, first.start_column, last.end_line, last.end_column)


# ---- operators ----------------------------------------------------------------------------------


def _comparison(s: Situation) -> Diagnostic | None:
    if s.found is None:
        return None
    if s.found.text in _COMPARISONS and s.after_expression:
        title = "comparisons do not chain"
        return s.report("syntax.chained", title, "join two comparisons: `a < b and b < c`")
    if s.found.text == "==" and s.is_split:
        title = "`==` compares, and this defines"
        return s.report("syntax.equals", title, "write `=`")
    if s.found.text == "=" and s.after_expression:
        title = "`=` assigns, and this is an expression"
        return s.report("syntax.equals", title, "compare with `==`")
    return None


def _operator(s: Situation) -> Diagnostic | None:
    if s.found is None:
        return None
    text = s.found.text
    if text == "..":
        title = "a range stands only after `in`"
        open_ = s.brackets().open
        if open_ and open_[-1].text == "[":
            return s.report("syntax.range", title, "a slice is `x[a:b]`, an index `[i in a..b]`")
        return s.report("syntax.range", title, "write `for i in 0..n` or `[i in 0..n] => ...`")
    if text == "+" and s.previous is not None and s.previous.text == "+":
        return s.report("syntax.increment", "dm has no `++`", "write `x += 1`")
    if text in ("->", "{") and "FATARROW" in s.accepts and not s.expects_expression:
        title = "the body of a function value follows `=>`"
        return s.report("syntax.arrow", title, "write `fn(x) => ...`")
    if text == ":" and s.after and s.after[0].text == "=":
        title = "dm has no `:=`"
        return s.report("syntax.equals", title, "`let x = ...` defines, `x = ...` assigns")
    return None


def _expression_form(s: Situation) -> Diagnostic | None:
    if s.found is None:
        return None
    builds_record = len(s.after) > 1 and s.after[1].text == ":"
    if s.found.text == "{" and s.previous and s.previous.text == "=" and not builds_record:
        head = next((i for i, x in enumerate(s.before) if x.leads and x.line == s.found.line), 0)
        if {x.text for x in s.before[head : head + 3]} & {"fn", "jvp", "vjp"}:
            start = s.span(s.before[head])
            text = s.between(start, s.span(s.previous)).rstrip()
            title = "a body in braces follows without `=`"
            return s.report("syntax.equals", title, f"write `{text} {{`", at=s.span(s.previous))
    if s.found.text == "{" and s.expects_expression and not _wants_condition(s):
        title = "no expression starts with `{`"
        help_ = "build records by calls: `Camera(focal = 1.0)`"
        if s.after and s.after[0].text in ("let", "var"):
            help_ = "a value has no statements of its own: put them on the lines before it"
            builder = _summed_builder(s)
            if builder is not None:
                help_ = f"reduce a builder, which may have statements: write `{builder}`"
        return s.report("syntax.record", title, help_)
    if s.found.text == "if" and s.after_expression:
        title = "the condition comes first"
        return s.report("syntax.conditional", title, "write `if c { a } else { b }`")
    return None


def _summed_builder(s: Situation) -> str | None:
    """`sum([i in 0..n] => {` for `sum[i in 0..n]({`."""
    texts = [lexeme.text for lexeme in s.before]
    if texts[-2:] != ["]", "("] or "[" not in texts:
        return None
    start = len(texts) - 1 - texts[::-1].index("[")
    if start == 0 or "]" in texts[start:-2]:
        return None
    indexes = s.between(s.span(s.before[start]), s.span(s.before[-1]))
    return f"{texts[start - 1]}({indexes} => {{"


def _wants_condition(s: Situation) -> bool:
    return s.previous is not None and s.previous.text in ("if", "while", "in", "limit")


# ---- declarations and statements ----------------------------------------------------------------


def _rule_result(s: Situation) -> Diagnostic | None:
    """`derivative f(x) {` without a name for the result."""
    if s.accepts != frozenset(("ARROW",)) or not s.before or s.before[0].text != "derivative":
        return None
    text = s.between(s.span(s.before[0]), s.here()).strip()
    title = "a `derivative` names the result of the function"
    return s.report("syntax.result", title, f"write `{text} -> y {{`")


def _signature(s: Situation) -> Diagnostic | None:
    last = s.previous
    if last is None:
        return None
    if s.accepts == frozenset(("ARROW",)) and last.text == ")" and s.before[0].text != "derivative":
        title = "this function does not state the type of its result"
        return s.report("syntax.result", title, "add `-> f64`, or `-> ()` for no result")
    if s.accepts == frozenset(("COLON",)) and last.kind is Kind.WORD:
        title = f"`{last.text}` has no type"
        at = s.span(last)
        if last.text == "self":
            help_ = "delete it: the fields of a model are in scope by name"
            return s.report("syntax.type", title, help_, at=at)
        return s.report("syntax.type", title, f"write `{last.text}: f64`, or what it is", at=at)
    return None


def _value(s: Situation) -> Diagnostic | None:
    if s.found is not None and not closes(s.found.text):
        return None
    if "EQ" not in s.accepts or s.previous is None:
        return None
    words = [word for word in s.first_words if word in ("let", "var", "param", "state")]
    if not words:
        return None
    help_ = "add `= zeros`, or another first value" if words[0] != "let" else "add `= ...`"
    return s.report("syntax.value", f"this `{words[0]}` has no value", help_)


def _reserved(s: Situation) -> Diagnostic | None:
    if s.found is None or s.found.text not in RESERVED or "NAME" not in s.accepts:
        return None
    if s.expects_expression:
        return None
    title = f"`{s.found.text}` is a reserved word"
    if s.found.text == "mut" and s.previous is not None and s.previous.text == "let":
        return s.report("syntax.reserved", title, "a variable that changes is a `var x = 0.0`")
    return s.report("syntax.reserved", title, f"choose another name, such as `{s.found.text}_`")


def _outside(s: Situation) -> Diagnostic | None:
    if s.found is None or "STRUCT" not in s.accepts:
        return None
    if s.found.text == "dim":
        return s.report("syntax.declaration", "this `dim` has no name", "write `dim K = 4`")
    title = "only declarations stand outside functions"
    help_ = "move it into a function" if s.found.text != "var" else "a constant is `let x = ...`"
    return s.report("syntax.declaration", title, help_)


def _member(s: Situation) -> Diagnostic | None:
    if s.found is None:
        return None
    if s.found.text == "}" and s.previous is not None and s.previous.text == "{":
        words = [lexeme.text for lexeme in s.before if lexeme.leads]
        if words[-1] in ("struct", "model"):
            title = f"this `{words[-1]}` is empty"
            return s.report("syntax.member", title, "give it a field, or delete it")
    if "PARAM" in s.accepts:
        title = f"`{s.found.text}` starts no member of a model"
        help_ = "write `param`, `state`, `dim`, `fn` or `name: Model[...]`"
        return s.report("syntax.member", title, help_)
    is_field = s.found.text == "=" and NEWLINE in s.accepts and not s.after_expression
    if is_field and len(s.first_words) > 1 and s.first_words[1] == ":":
        name = s.first_words[0]
        title = f"`{name}` has a value but no role"
        help_ = f"in a model: `param {name}: ...` to train it, `state {name}: ...` to update it"
        return s.report("syntax.member", title, help_)
    return None


def _separator(s: Situation) -> Diagnostic | None:
    if s.found is None or NEWLINE not in s.accepts:
        return None
    if s.found.text == ",":
        title = "a comma does not separate lines"
        return s.report("syntax.separator", title, "write a new line or `;`")
    if s.found.kind is not Kind.SIGN and not s.found.leads:
        title = f"`{s.found.text}` needs an operator or a new line before it"
        return s.report("syntax.separator", title, "write an operator, a new line or `;`")
    return None


def _empty_brackets(s: Situation) -> Diagnostic | None:
    """`f64[]`."""
    if s.found is None or s.found.text != "]" or len(s.before) < 2 or s.before[-1].text != "[":
        return None
    name = s.before[-2].text
    title = "there is nothing in these brackets"
    help_ = f"write `{name}`" if name.isidentifier() else "write what belongs there"
    return s.report("syntax.unexpected", title, help_)


_RULES: tuple[Callable[[Situation], Diagnostic | None], ...] = (
    *habits.WORDS,
    _wrong_closer,
    _missing_closer,
    _number,
    _comparison,
    _operator,
    _expression_form,
    *habits.FORMS,
    _rule_result,
    _signature,
    _value,
    _outside,
    _member,
    _reserved,
    _separator,
    _empty_brackets,
)
