"""What the parser would have accepted, in words."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from dmc.syntax.layout import NEWLINE

_SPELLED = {
    "RPAR": "`)`",
    "RSQB": "`]`",
    "RBRACE": "`}`",
    "LPAR": "`(`",
    "LSQB": "`[`",
    "LBRACE": "`{`",
    "EQ": "`=`",
    "COLON": "`:`",
    "COMMA": "`,`",
    "ARROW": "`->`",
    "FATARROW": "`=>`",
    "IN": "`in`",
    "IMPORT": "`import`",
    "FN": "`fn`",
}


def describe(accepts: AbstractSet[str]) -> str:
    """A phrase such as "an expression", "a name or `)`", for a set of terminal names."""
    phrases: list[str] = []
    if "STRUCT" in accepts:
        phrases.append("a declaration")
    elif "PARAM" in accepts:
        phrases.append("a member")
    elif {"LET", "INT"} <= accepts:
        phrases.append("a statement")
    elif {"INT", "MINUS"} <= accepts:
        phrases.append("an expression")
    elif {"INT", "NAME", "LPAR"} <= accepts:
        phrases.append("a type")
    elif "AND" in accepts:
        phrases.append("an operator")
    elif "NAME" in accepts:
        phrases.append("a name")
    starts = bool(phrases) and phrases[0] != "an operator" and phrases[0] != "a name"
    hidden = {"LPAR", "LSQB", "FN"} if starts or "AND" in accepts else set[str]()
    phrases += [text for name, text in _SPELLED.items() if name in accepts and name not in hidden]
    if NEWLINE in accepts and not starts:
        phrases.append("a new line")
    if not phrases:
        return "something else"
    *most, last = phrases
    return f"{', '.join(most)} or {last}" if most else last
