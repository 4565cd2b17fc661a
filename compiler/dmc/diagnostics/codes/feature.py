"""Error codes of the family `feature`: what this version does not compile."""

from __future__ import annotations

from dmc.diagnostics.codes.code import Code, Language

CODES: tuple[Code, ...] = (
    Code(
        "feature.unsupported",
        "more elements than places can number",
        "The language compiles as a whole. What sorts, or tells the place of an element, gives an "
        "i32, so the axis has 2,147,483,647 elements at most.",
        "",
        "",
    ),
    Code(
        "feature.bf16",
        "the package that has bf16 is not installed",
        "NumPy has no bf16; arrays of it have the element type that the package ml_dtypes gives "
        "them.",
        "pip install dmc && dmc check mixed.dm\n",
        "pip install 'dmc[bf16]' && dmc check mixed.dm\n",
        Language.SHELL,
    ),
    Code(
        "feature.target",
        "there is no such target",
        "Code is made for the machine it runs on, or for one of the targets that the message "
        "lists.",
        "dmc ir model.dm loss --stage asm --target-cpu pentium\n",
        "dmc ir model.dm loss --stage asm --target-cpu x86-64-v3\n",
        Language.SHELL,
    ),
)
