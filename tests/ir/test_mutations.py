"""Damaged textual IR is refused in words: never a crash, a hang or a place outside the text."""

from __future__ import annotations

import random

import pytest

from dmc.driver import Compilation, Stage
from dmc.ir import VerifyError, verify
from dmc.ir.parser import IRSyntaxError, parse_module
from tests.fuzz.texts import mutant
from tests.ir.test_levels import PROGRAM

STAGES = [Stage.TENSOR, Stage.OPTIMIZED, Stage.KERNEL, Stage.LOOP]


@pytest.fixture(scope="module")
def compilation() -> Compilation:
    return Compilation(parse_module(PROGRAM), "f")


@pytest.mark.parametrize("generic", [False, True], ids=["pretty", "generic"])
@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.value)
def test_damaged_text_is_refused_in_words(
    compilation: Compilation, stage: Stage, generic: bool
) -> None:
    whole = compilation.ir(stage, generic=generic)
    rng = random.Random(stage.value)
    texts = [mutant(whole, [whole], rng) for _ in range(60)]
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
