"""Damaged textual IR is refused in words: never a crash, a hang or a place outside the text."""

from __future__ import annotations

import random
import re

import pytest

from dmc.driver import Compilation, Stage
from dmc.ir import VerifyError, verify
from dmc.ir.parser import IRSyntaxError, parse_module
from tests.ir.test_levels import PROGRAM

TOKEN = re.compile(r"\s+|[%@^]?[\w.$]+|.", re.DOTALL)
FOREIGN = [
    "-1",
    "99999999999",
    "true",
    '"x"',
    "[]",
    "tensor<0xf32>",
    "%",
    "}",
    "{",
    "nan",
    "é",
    "\0",
]
STAGES = [Stage.TENSOR, Stage.OPTIMIZED, Stage.KERNEL, Stage.LOOP]


@pytest.fixture(scope="module")
def compilation() -> Compilation:
    return Compilation(parse_module(PROGRAM), "f")


def damaged(tokens: list[str], rng: random.Random) -> str:
    """The text with one or two tokens dropped, replaced, repeated or foreign."""
    tokens = tokens.copy()
    for _ in range(rng.randint(1, 2)):
        at = rng.randrange(len(tokens))
        match rng.randrange(4):
            case 0:
                del tokens[at]
            case 1:
                tokens[at] = rng.choice(tokens)
            case 2:
                tokens.insert(at, rng.choice(tokens))
            case _:
                tokens[at] = rng.choice(FOREIGN)
    return "".join(tokens)


@pytest.mark.parametrize("generic", [False, True], ids=["pretty", "generic"])
@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.value)
def test_damaged_text_is_refused_in_words(
    compilation: Compilation, stage: Stage, generic: bool
) -> None:
    tokens = TOKEN.findall(compilation.ir(stage, generic=generic))
    rng = random.Random(stage.value)
    texts = [damaged(tokens, rng) for _ in range(60)]
    refusals = [refusal(text) for text in texts]
    assert len([error for error in refusals if error is not None]) > 30
    for text, error in zip(texts, refusals, strict=True):
        if isinstance(error, IRSyntaxError):
            assert error.line in text.split("\n")
            assert 1 <= error.span.start_column <= len(error.line) + 1


def refusal(text: str) -> IRSyntaxError | VerifyError | None:
    """What is said about `text`; nothing when it is still right."""
    try:
        verify(parse_module(text))
    except (IRSyntaxError, VerifyError) as error:
        return error
    return None
