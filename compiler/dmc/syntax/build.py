"""Lark's tree to our syntax tree: files and declarations, with their docs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeGuard, cast

from dmc.ir.location import Span
from dmc.syntax import ast
from dmc.syntax.build_expressions import ExpressionBuilder, Group, nodes

if TYPE_CHECKING:
    from lark import Token, Tree


class TreeBuilder(ExpressionBuilder):
    """Builds whole files; see the base class for the conventions."""

    def build(self, tree: Tree[Token]) -> ast.File:
        """The syntax tree of a file, from the leaves up and without recursion.

        So the depth of nesting is limited by a check with a message, not by Python's stack.
        """
        order: list[Tree[Token]] = []
        pending = [tree]
        while pending:
            branch = pending.pop()
            order.append(branch)
            pending.extend(child for child in branch.children if _is_branch(child))
        built: dict[int, object] = {}
        for branch in reversed(order):
            parts = [built.pop(id(c)) if _is_branch(c) else c for c in branch.children]
            built[id(branch)] = getattr(self, branch.data)(*parts)
        return cast(ast.File, built[id(tree)])

    # ---- declarations ------------------------------------------------------------------------

    def start(self, *parts: ast.Node | Token | None) -> ast.File:
        lines = self._source.lines
        span = Span(self._source, 1, 1, len(lines), len(lines[-1]) + 1)
        declarations = (part for part in parts if isinstance(part, ast.Decl))
        return ast.File(span, tuple(declarations))

    def import_decl(
        self, word: Token, module: ast.QualifiedName, _as: Token | None, alias: Token | None
    ) -> ast.ImportDecl:
        span = self._span(word, alias or module)
        return ast.ImportDecl(span, self._doc(span), module, self._optional(alias))

    def from_decl(
        self, word: Token, module: ast.QualifiedName, _import: Token, *names: Token
    ) -> ast.FromDecl:
        span = self._span(word, names[-1])
        return ast.FromDecl(span, self._doc(span), module, self._identifiers(names))

    def dim_decl(self, word: Token, name: Token, _eq: Token, value: ast.Expr) -> ast.DimDecl:
        span = self._span(word, value)
        return ast.DimDecl(span, self._doc(span), self._identifier(name), value)

    def const_decl(
        self,
        word: Token,
        name: Token,
        _colon: Token | None,
        type_: ast.TypeExpr | None,
        _eq: Token,
        value: ast.Expr,
    ) -> ast.ConstDecl:
        span = self._span(word, value)
        return ast.ConstDecl(span, self._doc(span), self._identifier(name), type_, value)

    def struct_decl(
        self,
        word: Token,
        name: Token,
        generics: Group | None,
        _open: Token,
        *parts: ast.Node | Token,
    ) -> ast.StructDecl:
        span = self._span(word, parts[-1])
        return ast.StructDecl(
            span,
            self._doc(span),
            self._identifier(name),
            generics.of(ast.GenericParam) if generics else (),
            nodes(parts, ast.Field),
        )

    def field(self, name: Token, _colon: Token, type_: ast.TypeExpr) -> ast.Field:
        span = self._span(name, type_)
        return ast.Field(span, self._doc(span), self._identifier(name), type_)

    def model_decl(
        self,
        word: Token,
        name: Token,
        generics: Group | None,
        parameters: Group | None,
        requires: Group | None,
        _open: Token,
        *parts: ast.Node | Token,
    ) -> ast.ModelDecl:
        span = self._span(word, parts[-1])
        return ast.ModelDecl(
            span,
            self._doc(span),
            self._identifier(name),
            generics.of(ast.GenericParam) if generics else (),
            parameters.of(ast.Param) if parameters else (),
            _expressions(requires),
            tuple(part for part in parts if isinstance(part, ast.ModelMember)),
        )

    def param_member(
        self,
        frozen: Token | None,
        word: Token,
        name: Token,
        _colon: Token,
        type_: ast.TypeExpr,
        _eq: Token,
        value: ast.Expr,
    ) -> ast.ParamMember:
        span = self._span(frozen or word, value)
        return ast.ParamMember(
            span, self._doc(span), self._identifier(name), type_, value, frozen is not None
        )

    def state_member(
        self,
        word: Token,
        name: Token,
        _colon: Token,
        type_: ast.TypeExpr,
        _eq: Token,
        value: ast.Expr,
    ) -> ast.StateMember:
        span = self._span(word, value)
        return ast.StateMember(span, self._doc(span), self._identifier(name), type_, value)

    def sub_member(
        self,
        frozen: Token | None,
        name: Token,
        _colon: Token,
        type_: ast.TypeExpr,
        _open: Token | None,
        arguments: Group | None,
        close: Token | None,
    ) -> ast.SubMember:
        span = self._span(frozen or name, close or type_)
        return ast.SubMember(
            span,
            self._doc(span),
            self._identifier(name),
            type_,
            arguments.of(ast.Argument) if arguments else (),
            frozen is not None,
        )

    def fn_decl(
        self,
        modifiers: tuple[Token, ...],
        word: Token,
        name: Token,
        generics: Group | None,
        parameters: Group,
        _arrow: Token,
        result: ast.TypeExpr,
        requires: Group | None,
        *body: Token | ast.Expr,
    ) -> ast.FnDecl:
        value = _body(body)
        span = self._span(modifiers[0] if modifiers else word, value)
        written = [token.value for token in modifiers]
        return ast.FnDecl(
            span,
            self._doc(span),
            self._identifier(name),
            generics.of(ast.GenericParam) if generics else (),
            parameters.of(ast.Param),
            result,
            _expressions(requires),
            value,
            "mut" in written,
            "checkpoint" in written,
        )

    def modifiers(self, *words: Token) -> tuple[Token, ...]:
        for position, word in enumerate(words):
            if word.value in (earlier.value for earlier in words[:position]):
                self._problem("syntax.unexpected", f"`{word}` is written twice", self._span(word))
        return words

    def size_gparam(
        self,
        name: Token,
        _colon: Token | None,
        kind: Token | None,
        _eq: Token | None,
        default: Token | None,
    ) -> ast.GenericParam:
        span = self._span(name, default or kind or name)
        return ast.GenericParam(
            span, self._identifier(name), self._optional(kind), self._optional(default), False
        )

    def pack_gparam(self, star: Token, name: Token) -> ast.GenericParam:
        return ast.GenericParam(
            self._span(star, name), self._identifier(name), None, None, is_pack=True
        )

    def param(
        self,
        var: Token | None,
        name: Token,
        _colon: Token,
        type_: ast.TypeExpr,
        _eq: Token | None,
        default: ast.Expr | None,
    ) -> ast.Param:
        span = self._span(var or name, default or type_)
        return ast.Param(span, self._identifier(name), type_, default, var is not None)

    def derivative_decl(
        self,
        word: Token,
        unchecked: Token | None,
        function: ast.QualifiedName,
        inputs: Group,
        _arrow: Token,
        output: ast.Pattern,
        _open: Token,
        *parts: ast.Node | Token,
    ) -> ast.DerivativeDecl:
        span = self._span(word, parts[-1])
        return ast.DerivativeDecl(
            span,
            self._doc(span),
            function,
            inputs.of(ast.Identifier),
            output,
            nodes(parts, ast.Rule),
            unchecked is not None,
        )

    def rule(self, name: Token, names: Group, *body: Token | ast.Expr) -> ast.Rule:
        value = _body(body)
        span = self._span(name, value)
        return ast.Rule(span, self._identifier(name), names.of(ast.Identifier), value)

    # ---- docs --------------------------------------------------------------------------------

    def _doc(self, span: Span) -> str | None:
        """The text of the `##` lines directly above a declaration."""
        number = span.start_line - 1
        found: list[str] = []
        while (line := self._source.line(number).strip()).startswith("##"):
            found.append(line.removeprefix("##").removeprefix(" "))
            number -= 1
        return "\n".join(reversed(found)) if found else None


def _is_branch(child: object) -> TypeGuard[Tree[Token]]:
    """Whether a child is a subtree; leaves are tokens, or None for an optional part left out."""
    return hasattr(child, "children")


def _body(parts: Iterable[Token | ast.Expr]) -> ast.Expr:
    """The expression of a body `{ ... }` or `= expression`."""
    *_, last = parts
    assert isinstance(last, ast.Expr)
    return last


def _expressions(group: Group | None) -> tuple[ast.Expr, ...]:
    parts = group.parts if group else ()
    return tuple(part for part in parts if isinstance(part, ast.Expr))
