"""Declarations and their parts: functions, structs, models, derivatives, imports."""

from __future__ import annotations

from dataclasses import dataclass

from dmc.syntax.ast.expressions import (
    Argument,
    Expr,
    Identifier,
    Pattern,
    QualifiedName,
    TypeExpr,
)
from dmc.syntax.ast.node import Node


@dataclass(frozen=True, slots=True, eq=False)
class Declaration(Node):
    """Base of everything `##` can document; `doc` is the text without `##`, or None."""

    doc: str | None


@dataclass(frozen=True, slots=True, eq=False)
class GenericParam(Node):
    """`N`, `F: float`, `M: record`, `F: float = f32`, or the pack `*S`."""

    name: Identifier
    kind: Identifier | None
    default: Identifier | None
    is_pack: bool


@dataclass(frozen=True, slots=True, eq=False)
class Param(Node):
    """A parameter of a function or a model; `mutable` when written with `var`."""

    name: Identifier
    type: TypeExpr
    default: Expr | None
    mutable: bool


@dataclass(frozen=True, slots=True, eq=False)
class ImportDecl(Declaration):
    """`import nn`, `import deep.lib as lib`."""

    module: QualifiedName
    alias: Identifier | None


@dataclass(frozen=True, slots=True, eq=False)
class FromDecl(Declaration):
    """`from nn import Linear, relu`."""

    module: QualifiedName
    names: tuple[Identifier, ...]


@dataclass(frozen=True, slots=True, eq=False)
class DimDecl(Declaration):
    """`dim K = D / H`, at the top level or in a model."""

    name: Identifier
    value: Expr


@dataclass(frozen=True, slots=True, eq=False)
class ConstDecl(Declaration):
    """`let eps: f64 = 1e-6` at the top level."""

    name: Identifier
    type: TypeExpr | None
    value: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Field(Declaration):
    """`w: f64[D]` in a struct."""

    name: Identifier
    type: TypeExpr


@dataclass(frozen=True, slots=True, eq=False)
class StructDecl(Declaration):
    """`struct Camera[N] { fields }`."""

    name: Identifier
    generics: tuple[GenericParam, ...]
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ParamMember(Declaration):
    """`[frozen] param w: f32[D] = initializer`."""

    name: Identifier
    type: TypeExpr
    value: Expr
    frozen: bool


@dataclass(frozen=True, slots=True, eq=False)
class StateMember(Declaration):
    """`state seen: i64 = 0`."""

    name: Identifier
    type: TypeExpr
    value: Expr


@dataclass(frozen=True, slots=True, eq=False)
class SubMember(Declaration):
    """`[frozen] mlp: Linear[D, D](std = 0.01)`: a sub-model; `arguments` are hyperparameters."""

    name: Identifier
    type: TypeExpr
    arguments: tuple[Argument, ...]
    frozen: bool


@dataclass(frozen=True, slots=True, eq=False)
class FnDecl(Declaration):
    """A function, at the top level or in a model; `body` is a `Block` or the `= expr` form."""

    name: Identifier
    generics: tuple[GenericParam, ...]
    parameters: tuple[Param, ...]
    result: TypeExpr
    requires: tuple[Expr, ...]
    body: Expr
    mutable: bool
    checkpoint: bool


@dataclass(frozen=True, slots=True, eq=False)
class ModelDecl(Declaration):
    """`model Block[D, H](rate: f32 = 0.1) requires D % H == 0 { members }`."""

    name: Identifier
    generics: tuple[GenericParam, ...]
    parameters: tuple[Param, ...]
    requires: tuple[Expr, ...]
    members: tuple[ModelMember, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Rule(Node):
    """`jvp(de, dm) = ...` or `vjp(dy) { ... }` inside a derivative."""

    name: Identifier
    parameters: tuple[Identifier, ...]
    body: Expr


@dataclass(frozen=True, slots=True, eq=False)
class DerivativeDecl(Declaration):
    """`derivative [unchecked] f(x, y) -> z { rules }`."""

    function: QualifiedName
    inputs: tuple[Identifier, ...]
    output: Pattern
    rules: tuple[Rule, ...]
    unchecked: bool


@dataclass(frozen=True, slots=True, eq=False)
class File(Node):
    """A whole source file."""

    declarations: tuple[Decl, ...]


ModelMember = ParamMember | StateMember | SubMember | DimDecl | FnDecl
Decl = (
    ImportDecl | FromDecl | DimDecl | ConstDecl | StructDecl | ModelDecl | FnDecl | DerivativeDecl
)
