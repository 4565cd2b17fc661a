"""Lark's tree to our syntax tree: types, patterns, statements and expressions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from dmc.diagnostics.diagnostic import Diagnostic, Label
from dmc.ir.location import SourceFile, Span
from dmc.syntax import ast

if TYPE_CHECKING:
    from lark import Token

_N = TypeVar("_N", bound=ast.Node)

_LARGEST_INTEGER = 2**63 - 1
_MOST_DIGITS = 4000  # CPython refuses to convert much longer integers


@dataclass(frozen=True, slots=True, eq=False)
class Group(ast.Node):
    """A list in parentheses or brackets on its way into its parent."""

    parts: tuple[ast.Node, ...]

    def of(self, kind: type[_N]) -> tuple[_N, ...]:
        """The parts of one class, in order."""
        return nodes(self.parts, kind)


def nodes(parts: Iterable[object], kind: type[_N]) -> tuple[_N, ...]:
    """Those of `parts` that are nodes of class `kind`."""
    return tuple(part for part in parts if isinstance(part, kind))


class ExpressionBuilder:
    """One method for each rule of `dm.lark`; parameters are the rule's symbols in order.

    Tokens that are there for the reader alone have names starting with an underscore.
    `problems` collects what is wrong without being against the grammar.
    """

    def __init__(self, source: SourceFile) -> None:
        self._source = source
        self.problems: list[Diagnostic] = []

    # ---- places ------------------------------------------------------------------------------

    def _span(self, first: ast.Node | Token, last: ast.Node | Token | None = None) -> Span:
        start = first.span if isinstance(first, ast.Node) else self._token_span(first)
        if last is None or last is first:
            return start
        end = last.span if isinstance(last, ast.Node) else self._token_span(last)
        return Span(start.file, start.start_line, start.start_column, end.end_line, end.end_column)

    def _token_span(self, token: Token) -> Span:
        line, column = token.line or 1, token.column or 1
        return Span(self._source, line, column, token.end_line or line, token.end_column or column)

    def _outer_span(self, parts: Iterable[ast.Node | Token | None]) -> Span:
        """From the first part that is there to the last."""
        present = [part for part in parts if part is not None]
        return self._span(present[0], present[-1])

    def _problem(self, code: str, title: str, span: Span, *help: str) -> None:
        self.problems.append(Diagnostic(code, title, Label(span), help=help))

    # ---- names and lists ---------------------------------------------------------------------

    def _identifier(self, token: Token) -> ast.Identifier:
        return ast.Identifier(self._token_span(token), str(token))

    def _optional(self, token: Token | None) -> ast.Identifier | None:
        return None if token is None else self._identifier(token)

    def _identifiers(self, tokens: Iterable[ast.Node | Token | None]) -> tuple[ast.Identifier, ...]:
        """The names among `tokens`; signs and newlines are left out."""
        return tuple(
            self._identifier(token)
            for token in tokens
            if token is not None and not isinstance(token, ast.Node) and token.type == "NAME"
        )

    def args(self, *parts: ast.Node | Token | None) -> Group:
        return Group(self._outer_span(parts), nodes(parts, ast.Node))

    gparams = params = requires = args

    def names(self, *parts: Token | None) -> Group:
        return Group(self._outer_span(parts), self._identifiers(parts))

    # ---- types -------------------------------------------------------------------------------

    def named_type(self, name: ast.QualifiedName, arguments: ast.Bracket | None) -> ast.NamedType:
        return ast.NamedType(self._span(name, arguments or name), name, arguments)

    def stack_type(
        self, count: ast.IntLit | ast.Name, _star: Token, element: ast.TypeExpr
    ) -> ast.StackType:
        return ast.StackType(self._span(count, element), count, element)

    def tuple_type(self, *parts: ast.Node | Token | None) -> ast.TypeExpr:
        elements = tuple(part for part in parts if isinstance(part, ast.TypeExpr))
        span = self._outer_span(parts)
        return (
            replace(elements[0], span=span) if len(elements) == 1 else ast.TupleType(span, elements)
        )

    def function_type(self, *parts: ast.Node | Token | None) -> ast.FunctionType:
        *parameters, result = (part for part in parts if isinstance(part, ast.TypeExpr))
        return ast.FunctionType(self._outer_span(parts), tuple(parameters), result)

    def stack_count(self, token: Token) -> ast.IntLit | ast.Name:
        return self.int_lit(token) if token.type == "INT" else self.name(token)

    def qualname(self, *parts: Token) -> ast.QualifiedName:
        return ast.QualifiedName(self._span(parts[0], parts[-1]), self._identifiers(parts))

    # ---- statements and patterns -------------------------------------------------------------

    def block(self, *parts: ast.Node | Token | None) -> ast.Block:
        statements = tuple(part for part in parts if isinstance(part, ast.Stmt))
        return ast.Block(self._outer_span(parts), statements)

    def let(
        self,
        word: Token,
        pattern: ast.Pattern,
        _colon: Token | None,
        type_: ast.TypeExpr | None,
        _eq: Token,
        value: ast.Expr,
    ) -> ast.Let:
        return ast.Let(self._span(word, value), pattern, type_, value)

    def var(
        self,
        word: Token,
        pattern: ast.Pattern,
        _colon: Token | None,
        type_: ast.TypeExpr | None,
        _eq: Token,
        value: ast.Expr,
    ) -> ast.Var:
        return ast.Var(self._span(word, value), pattern, type_, value)

    def assign(self, target: ast.Expr, _eq: Token, value: ast.Expr) -> ast.Assign:
        return ast.Assign(self._span(target, value), self._target(target), value)

    def aug_assign(self, target: ast.Expr, sign: Token, value: ast.Expr) -> ast.AugAssign:
        op = ast.BinaryOp(sign.value.removesuffix("="))
        return ast.AugAssign(self._span(target, value), op, self._target(target), value)

    def expr_stmt(self, value: ast.Expr) -> ast.ExprStmt:
        return ast.ExprStmt(value.span, value)

    def name_pattern(self, name: Token) -> ast.NamePattern:
        return ast.NamePattern(self._span(name), self._identifier(name))

    def tuple_pattern(self, *parts: ast.Node | Token) -> ast.Pattern:
        elements = tuple(part for part in parts if isinstance(part, ast.Pattern))
        span = self._outer_span(parts)
        if len(elements) == 1:
            return replace(elements[0], span=span)
        return ast.TuplePattern(span, elements)

    # ---- expressions -------------------------------------------------------------------------

    def lambda_(self, *parts: ast.Node | Token | None) -> ast.Lambda:
        parameters = tuple(part for part in parts if isinstance(part, ast.LambdaParam))
        body = parts[-1]
        assert isinstance(body, ast.Expr)
        return ast.Lambda(self._outer_span(parts), parameters, body)

    def lparam(
        self, name: Token, _colon: Token | None, type_: ast.TypeExpr | None
    ) -> ast.LambdaParam:
        return ast.LambdaParam(self._span(name, type_ or name), self._identifier(name), type_)

    def builder(self, bracket: ast.Bracket, _arrow: Token, body: ast.Expr) -> ast.Builder:
        return ast.Builder(self._span(bracket, body), bracket, body)

    def pipe(self, value: ast.Expr, _sign: Token, stage: ast.Expr) -> ast.Pipe:
        return ast.Pipe(self._span(value, stage), value, stage)

    def logical(self, left: ast.Expr, sign: Token, right: ast.Expr) -> ast.Logical:
        return ast.Logical(self._span(left, right), ast.LogicalOp(sign.value), left, right)

    def compare(self, left: ast.Expr, sign: Token, right: ast.Expr) -> ast.Compare:
        return ast.Compare(self._span(left, right), ast.CompareOp(sign.value), left, right)

    def binary(self, left: ast.Expr, sign: Token, right: ast.Expr) -> ast.Binary:
        return ast.Binary(self._span(left, right), ast.BinaryOp(sign.value), left, right)

    def unary(self, sign: Token, operand: ast.Expr) -> ast.Unary:
        return ast.Unary(self._span(sign, operand), ast.UnaryOp(sign.value), operand)

    def member(self, base: ast.Expr, _dot: Token, name: Token) -> ast.Member:
        span = self._span(base, name)
        if isinstance(base, ast.IntLit):
            self._problem(
                "syntax.number",
                "a float has digits on both sides of the point",
                span,
                f"write `{base.value}.0{name if name.value[0] in 'eE' else ''}`",
            )
        return ast.Member(span, base, self._identifier(name))

    def call(
        self, function: ast.Expr, _open: Token, arguments: Group | None, close: Token
    ) -> ast.Call:
        given = arguments.of(ast.Argument) if arguments else ()
        return ast.Call(self._span(function, close), function, given)

    def positional(self, value: ast.Expr) -> ast.Argument:
        return ast.Argument(value.span, None, value)

    def keyword(self, name: Token, _eq: Token, value: ast.Expr) -> ast.Argument:
        return ast.Argument(self._span(name, value), self._identifier(name), value)

    def index(self, base: ast.Expr, bracket: ast.Bracket) -> ast.Index:
        return ast.Index(self._span(base, bracket), base, bracket)

    def name(self, token: Token) -> ast.Name:
        return ast.Name(self._span(token), token.value)

    def int_lit(self, token: Token) -> ast.IntLit:
        digits = token.value.replace("_", "")
        value = int(digits) if len(digits) < _MOST_DIGITS else _LARGEST_INTEGER + 2
        if value > _LARGEST_INTEGER + 1:  # which may be negated
            self._problem("syntax.number", "this integer does not fit i64", self._span(token))
        return ast.IntLit(self._span(token), value)

    def float_lit(self, token: Token) -> ast.FloatLit:
        value = float(token.value.replace("_", ""))
        if math.isinf(value):
            self._problem("syntax.number", "this float does not fit f64", self._span(token))
        return ast.FloatLit(self._span(token), value)

    def true_lit(self, token: Token) -> ast.BoolLit:
        return ast.BoolLit(self._span(token), True)

    def false_lit(self, token: Token) -> ast.BoolLit:
        return ast.BoolLit(self._span(token), False)

    def unit(self, opening: Token, close: Token) -> ast.Tuple:
        return ast.Tuple(self._span(opening, close), ())

    def parens(self, opening: Token, value: ast.Expr, close: Token) -> ast.Expr:
        return replace(value, span=self._span(opening, close))

    def tuple_(self, *parts: ast.Node | Token) -> ast.Tuple:
        return ast.Tuple(
            self._outer_span(parts), tuple(part for part in parts if isinstance(part, ast.Expr))
        )

    def array_lit(self, bracket: ast.Bracket) -> ast.ArrayLit:
        return ast.ArrayLit(bracket.span, bracket)

    # ---- brackets ----------------------------------------------------------------------------

    def bracket(self, *parts: ast.Node | Token | None) -> ast.Bracket:
        items = tuple(_item(part) for part in parts if isinstance(part, ast.Item))
        return ast.Bracket(self._outer_span(parts), items)

    def binder(self, name: Token, _in: Token, iterable: ast.Iterable) -> ast.Binder:
        return ast.Binder(self._span(name, iterable), self._identifier(name), iterable)

    def slice_(
        self,
        start: ast.Expr | None,
        colon: Token,
        stop: ast.Expr | None,
        colon2: Token | None,
        step: ast.Expr | None,
    ) -> ast.Slice:
        span = self._span(start or colon, step or colon2 or stop or colon)
        return ast.Slice(span, start, stop, step)

    def ellipsis(self, token: Token) -> ast.Ellipsis:
        return ast.Ellipsis(self._span(token))

    def splat(self, star: Token, name: Token) -> ast.Splat:
        return ast.Splat(self._span(star, name), self._identifier(name))

    # ---- control -----------------------------------------------------------------------------

    def if_e(
        self,
        word: Token,
        condition: ast.Expr,
        then: ast.Block,
        _else: Token | None,
        otherwise: ast.Block | ast.If | None,
    ) -> ast.If:
        return ast.If(self._span(word, otherwise or then), condition, then, otherwise)

    def for_e(
        self, word: Token, pattern: ast.Pattern, _in: Token, iterable: ast.Iterable, body: ast.Block
    ) -> ast.For:
        return ast.For(self._span(word, body), pattern, iterable, body)

    def while_e(
        self,
        word: Token,
        condition: ast.Expr,
        _limit: Token | None,
        limit: ast.Expr | None,
        body: ast.Block,
    ) -> ast.While:
        return ast.While(self._span(word, body), condition, limit, body)

    def checkpoint_e(
        self, word: Token, every: ast.Bracket | None, body: ast.Block | ast.For | ast.While
    ) -> ast.Checkpoint:
        return ast.Checkpoint(self._span(word, body), every, body)

    def range_(self, start: ast.Expr, _dots: Token, stop: ast.Expr) -> ast.Range:
        return ast.Range(self._span(start, stop), start, stop)

    # ---- checks ------------------------------------------------------------------------------

    def _target(self, target: ast.Expr) -> ast.Target:
        """`target`, after checking that its form can be assigned to."""
        pending = [target]
        while pending:
            part = pending.pop()
            if isinstance(part, ast.Tuple) and part.elements:
                pending.extend(part.elements)
            elif not isinstance(part, (ast.Name, ast.Index, ast.Member)):
                self._problem(
                    "syntax.target",
                    "this expression cannot be assigned to",
                    part.span,
                    "assign to a `var`, an element `a[i]` or a tuple of these; compare with `==`",
                )
        return target if isinstance(target, ast.Target) else ast.Name(target.span, "_")


def _item(item: ast.Item) -> ast.Item:
    is_wildcard = isinstance(item, ast.Name) and item.text == "_"
    return ast.NewAxis(item.span) if is_wildcard else item
