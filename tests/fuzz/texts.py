"""Texts with something wrong in them, and the smallest part of a text that still shows a fault."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

TOKEN = re.compile(r"\n *|[ \t]+|[%@^!#]?[\w.$]+|->|=>|\|>|\*\*|[<>=!]=|\.\.\.?|.", re.DOTALL)
_GROUP = re.compile(r"\([^()\n]*\)|\[[^\[\]\n]*\]|\{[^{}]*\}")
_NUMBER = re.compile(r"\d[\w.]*")
_NAME = re.compile(r"[A-Za-z_]\w*")

CHARACTERS = "()[]{}<>,;:=.+-*/%@#\"'\\|&!?_ \n\t\0\r\x0c0159azAZéλ×\u2028\ufeff\U0001f600"
OPERATORS = ("+", "-", "*", "/", "//", "%", "**", "@", "==", "!=", "<", "<=", ">", ">=", "|>", "..")
NUMBERS = (
    *("0", "1", "2", "3", "7", "64", "-1", "0.0", "-0.0", "1.0", "0.5", "1e-300", "1e300", "1e19"),
    *("2147483647", "2147483648", "-2147483648", "9223372036854775807", "9223372036854775808"),
    *("99999999999999999999", "1e999", "nan", "inf", "true"),
)


def mutant(text: str, others: Sequence[str], rng: random.Random) -> str:
    """The text after one to three changes of any kind; parts may come from the `others`."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        change = rng.choice((_character, _token, _token, _line, _group, _alike, _alike))
        text = change(text, others, rng)
    return text


def _character(text: str, others: Sequence[str], rng: random.Random) -> str:
    del others
    at = rng.randrange(len(text) + 1)
    match rng.randrange(4):
        case 0:
            return text[:at] + rng.choice(CHARACTERS) + text[at:]
        case 1:
            return text[:at] + text[at + 1 :]
        case 2:
            return text[:at] + rng.choice(CHARACTERS) + text[at + 1 :]
        case _:
            return text[: at - 1] + text[at : at + 1] + text[at - 1 : at] + text[at + 1 :]


def _token(text: str, others: Sequence[str], rng: random.Random) -> str:
    tokens = TOKEN.findall(text)
    if not tokens:
        return text
    at = rng.randrange(len(tokens))
    match rng.randrange(4):
        case 0:
            del tokens[at]
        case 1:
            tokens[at] = rng.choice(tokens)
        case 2:
            tokens.insert(at, rng.choice(tokens))
        case _:
            tokens[at] = rng.choice(TOKEN.findall(rng.choice(others)) or [""])
    return "".join(tokens)


def _line(text: str, others: Sequence[str], rng: random.Random) -> str:
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    match rng.randrange(5):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, rng.choice(lines))
        case 2:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        case 3:
            lines.insert(at, rng.choice(rng.choice(others).split("\n")))
        case _:
            lines[at] = rng.choice(("    ", "  ", "")) + lines[at].lstrip(rng.choice((" ", "")))
    return "\n".join(lines)


def _group(text: str, others: Sequence[str], rng: random.Random) -> str:
    """A bracketed part in place of another one, without its brackets, or twice."""
    groups = list(_GROUP.finditer(text))
    if not groups:
        return text
    at = rng.choice(groups)
    source = text if rng.random() < 0.7 else rng.choice(others)
    pieces = [found[0] for found in _GROUP.finditer(source)] or [""]
    piece = rng.choice((rng.choice(pieces), at[0][1:-1], f"{at[0]}{at[0]}", f"({at[0]})"))
    return text[: at.start()] + piece + text[at.end() :]


def _alike(text: str, others: Sequence[str], rng: random.Random) -> str:
    """An operator, number or name in place of another: what may still be a program."""
    del others
    pattern = rng.choice(
        (_NUMBER, _NAME, re.compile(r"(?<=\s)(?:[-+*/%@]|\*\*|[<>=!]=|<|>)(?=\s)"))
    )
    places = list(pattern.finditer(text))
    if not places:
        return text
    at = rng.choice(places)
    if pattern is _NUMBER:
        new = rng.choice(NUMBERS)
    elif pattern is _NAME:
        new = rng.choice(places)[0]
    else:
        new = rng.choice(OPERATORS)
    return text[: at.start()] + new + text[at.end() :]


def shrink(text: str, holds: Callable[[str], bool], attempts: int = 400) -> str:
    """The smallest text found for which `holds` is true: first of lines, then of tokens."""
    left = attempts
    for split, join in ((str.splitlines, "\n"), (TOKEN.findall, "")):
        parts: list[str] = list(split(text))
        size = max(1, len(parts) // 2)
        while size and left > 0:
            at, cut = 0, False
            while at < len(parts) and left > 0:
                fewer = parts[:at] + parts[at + size :]
                left -= 1
                if holds(join.join(fewer)):
                    parts, cut = fewer, True
                else:
                    at += size
            size = size if cut and size == 1 else size // 2
        text = join.join(parts)
    return text
