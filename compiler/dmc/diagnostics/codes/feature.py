"""Error codes of the family `feature`: what this version does not compile."""

from __future__ import annotations

from dmc.diagnostics.codes.code import Code, Language

CODES: tuple[Code, ...] = (
    Code(
        "feature.unsupported",
        "valid dm that this version does not compile",
        "The whole language parses. Parts of it are not compiled yet, and are refused "
        "here instead of failing later. The changelog says what each version compiles.",
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
