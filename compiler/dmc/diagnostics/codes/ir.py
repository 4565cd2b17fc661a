"""Error codes of the family `ir`: textual IR that is given to the command line."""

from __future__ import annotations

from dmc.diagnostics.codes.code import Code, Language

CODES: tuple[Code, ...] = (
    Code(
        "ir.syntax",
        "text that is not IR",
        "The pretty form and MLIR's generic form are read; docs/ir/index.md describes both. Every "
        "value must be defined before it is used, with the type that is written.",
        "echo 'func.func @f(%x: tensor<f32> {}' | dmc opt -\n",
        "echo 'func.func @f(%x: tensor<f32>) -> tensor<f32> {\n"
        "  func.return %x : tensor<f32>\n"
        "}' | dmc opt -\n",
        Language.SHELL,
    ),
    Code(
        "ir.invalid",
        "an operation breaks a rule of its class",
        "The rules (C1, C2, …) of each operation are listed in docs/ir/operations.md; C0 is a rule "
        "of all IR, such as having the declared operands and attributes.",
        "echo 'func.func @f(%x: tensor<f32>) -> tensor<f64> {\n"
        "  func.return %x : tensor<f32>\n"
        "}' | dmc opt -\n",
        "echo 'func.func @f(%x: tensor<f32>) -> tensor<f32> {\n"
        "  func.return %x : tensor<f32>\n"
        "}' | dmc opt -\n",
        Language.SHELL,
    ),
)
