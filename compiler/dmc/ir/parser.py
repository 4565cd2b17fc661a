"""Textual IR, in the pretty or the generic form, back to operations.

The grammar is `ir.lark`. Reading has two steps: Lark's callbacks make a light syntax tree, bottom
up; then operations are made top down, so that every use finds the value defined before it.
Operations are known by their registered classes: import the dialects first.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar, cast

import lark
from lark.exceptions import UnexpectedInput, UnexpectedToken

import dmc_grammar
from dmc.ir import literals
from dmc.ir.affine import AffineMap
from dmc.ir.affine_set import AffineSet
from dmc.ir.attributes import ArrayAttr, Attribute, DenseElements, SymbolRef
from dmc.ir.location import UNKNOWN, Location, SourceFile, Span
from dmc.ir.module import Module
from dmc.ir.operation import Block, Operation, Region, Value, VerifyError
from dmc.ir.types import FunctionType, Type


class IRSyntaxError(ValueError):
    """Text that is not IR. `span` is the place, `line` the source line there."""

    code = "ir.syntax"

    def __init__(self, message: str, span: Span, line: str) -> None:
        caret = " " * (span.start_column - 1) + "^"
        super().__init__(f"{span}: {message}\n{line}\n{caret}")
        self.message = message
        self.span = span
        self.line = line


@dataclass(frozen=True, slots=True)
class ParsedIR:
    """A module and where in its text each operation is named."""

    module: Module
    spans: dict[Operation, Span]


def parse_module(text: str, file: str = "<ir>") -> Module:
    """The module that `text` describes; functions on their own are put into one.

    The result is not verified beyond what making each operation checks. Raises IRSyntaxError.
    """
    return parse(text, file).module


def parse(text: str, file: str = "<ir>") -> ParsedIR:
    """As `parse_module`, with the places that messages about the IR need."""
    source = _Source(SourceFile(file, text))
    operations = _parse(source)
    block = Block()
    maker = _Maker(source)
    maker.body(operations, block)
    first = block.first
    if isinstance(first, Module) and first.next is None:
        first.detach()
        return ParsedIR(first, maker.spans)
    return ParsedIR(Module(regions=[Region(block)]), maker.spans)


# Syntax tree

_Tokens: TypeAlias = list[lark.Token]
_Argument: TypeAlias = tuple[lark.Token, Type]


class _BareInteger(int):
    """An integer without a type: a list of these is a tuple, not an array of attributes."""


@dataclass(slots=True)
class _Body:
    arguments: list[_Argument]
    operations: list[_Op]


@dataclass(slots=True)
class _Op:
    name: lark.Token
    operands: _Tokens = field(default_factory=list[lark.Token])
    attributes: dict[str, Attribute] = field(default_factory=dict[str, Attribute])
    # The signature; or one type for all operands and results; or None when there are none.
    type: Type | None = None
    regions: Sequence[_Body] = ()
    results: _Tokens = field(default_factory=list[lark.Token])
    location: Location = UNKNOWN


@dataclass(frozen=True, slots=True)
class _Source:
    file: SourceFile

    def error(self, message: str, line: int, column: int, width: int = 1) -> IRSyntaxError:
        span = Span(self.file, line, column, line, column + width)
        return IRSyntaxError(message, span, self.file.line(line))

    def span(self, token: lark.Token) -> Span:
        line, column = token.line or 1, token.column or 1
        return Span(self.file, line, column, token.end_line or line, token.end_column or column)

    def error_at(self, token: lark.Token, message: str) -> IRSyntaxError:
        return self.error(message, token.line or 1, token.column or 1, len(token))


class _LiteralError(ValueError):
    """A token that the grammar accepts but that means nothing."""

    def __init__(self, token: lark.Token, message: str) -> None:
        super().__init__(message)
        self.token = token


_ReadT = TypeVar("_ReadT")


def _read(reader: Callable[[str], _ReadT], token: lark.Token) -> _ReadT:
    try:
        return reader(str(token))
    except ValueError as error:
        raise _LiteralError(token, str(error)) from None


@lark.v_args(inline=True)  # pyright: ignore[reportUnknownMemberType]
class _SyntaxTree(lark.Transformer[lark.Token, "list[_Op]"]):
    """Callbacks for the rules and aliases of `ir.lark`, in its order."""

    def start(self, *operations: _Op) -> list[_Op]:
        return list(operations)

    def op(self, results: _Tokens | None, op: _Op, location: Location | None) -> _Op:
        op.results = results or []
        op.location = location or UNKNOWN
        return op

    def values(self, *values: lark.Token) -> _Tokens:
        return list(values)

    def pretty(
        self,
        name: lark.Token,
        operands: _Tokens | None,
        attributes: dict[str, Attribute] | None,
        type_: Type | None,
        regions: list[_Body] | None,
    ) -> _Op:
        return _Op(name, operands or [], attributes or {}, type_, regions or [])

    def lone(self, name: lark.Token) -> _Op:
        return _Op(name)

    def definition(
        self,
        name: lark.Token,
        symbol: lark.Token,
        arguments: list[_Argument] | None,
        results: tuple[Type, ...] | None,
        attributes: dict[str, Attribute] | None,
        body: _Body,
    ) -> _Op:
        body.arguments = arguments or []
        known: dict[str, Attribute] = {"sym_name": self.symbol(symbol).name}
        if results is not None:
            known["function_type"] = FunctionType(tuple(t for _, t in body.arguments), results)
        return _Op(name, attributes=known | (attributes or {}), regions=[body])

    def constant(self, name: lark.Token, literal: Attribute | lark.Token, type_: Type) -> _Op:
        if isinstance(literal, lark.Token):
            literal = self.dense(literal, type_)
        return _Op(name, attributes={"value": _settled(literal)}, type=type_)

    def dictionary(self, *entries: tuple[lark.Token, Attribute] | None) -> dict[str, Attribute]:
        found: dict[str, Attribute] = {}
        for name, value in filter(None, entries):
            if name in found:
                raise _LiteralError(name, f"the attribute `{name}` is given twice")
            found[str(name)] = value
        return found

    def regions(self, *regions: _Body) -> list[_Body]:
        return list(regions)

    def region(self, arguments: list[_Argument] | None, body: _Body) -> _Body:
        body.arguments = arguments or []
        return body

    def body(self, *operations: _Op) -> _Body:
        return _Body([], list(operations))

    def generic(
        self,
        name: lark.Token,
        operands: _Tokens | None,
        attributes: dict[str, Attribute] | None,
        regions: list[_Body] | None,
        type_: FunctionType,
    ) -> _Op:
        unquoted = name.update(value=_read(literals.read_string, name))
        return _Op(unquoted, operands or [], attributes or {}, type_, regions or [])

    properties = dictionary

    generic_regions = regions

    def generic_region(self, arguments: list[_Argument] | None, *operations: _Op) -> _Body:
        return _Body(arguments or [], list(operations))

    def label(self, _: lark.Token, arguments: list[_Argument] | None) -> list[_Argument]:
        return arguments or []

    def signature(self, inputs: tuple[Type, ...] | None, results: tuple[Type, ...]) -> FunctionType:
        return FunctionType(inputs or (), results)

    def result_type(self, type_: Type) -> tuple[Type, ...]:
        return (type_,)

    def result_types(self, types: tuple[Type, ...] | None) -> tuple[Type, ...]:
        return types or ()

    def type_list(self, *types: Type) -> tuple[Type, ...]:
        return types

    def shaped(self, token: lark.Token) -> Type:
        return _read(literals.read_type, token)

    def tape(self, token: lark.Token, element: Type) -> Type:
        return _read(lambda _: literals.tape_of(element), token)

    def arguments(self, *arguments: _Argument) -> list[_Argument]:
        return list(arguments)

    def argument(self, name: lark.Token, type_: Type) -> _Argument:
        return (name, type_)

    def entry(self, name: lark.Token, value: Attribute) -> tuple[lark.Token, Attribute]:
        return (name, _settled(value))

    def bare_integer(self, token: lark.Token) -> _BareInteger:
        return _BareInteger(token)

    def typed_integer(self, token: lark.Token, _: lark.Token) -> int:
        return int(token)

    def decimal(self, token: lark.Token, _: lark.Token | None = None) -> float:
        return float(token)

    def bits(self, token: lark.Token, _: lark.Token | None = None) -> float:
        return _read(literals.read_float_bits, token)

    def true(self, _: lark.Token) -> bool:
        return True

    def false(self, _: lark.Token) -> bool:
        return False

    def string(self, token: lark.Token) -> str:
        return _read(literals.read_string, token)

    def integers(self, token: lark.Token) -> tuple[int, ...]:
        return _read(literals.read_integers, token)

    def bracketed(self, *items: Attribute | None) -> tuple[int, ...] | ArrayAttr:
        present = [item for item in items if item is not None]
        bare = [int(item) for item in present if isinstance(item, _BareInteger)]
        if len(bare) == len(present):
            return tuple(bare)
        return ArrayAttr(tuple(map(_settled, present)))

    def empty_array(self, _: lark.Token) -> ArrayAttr:
        return ArrayAttr(())

    def symbol(self, token: lark.Token) -> SymbolRef:
        name = token[1:]
        return SymbolRef(literals.read_string(name) if name.startswith('"') else name)

    def affine_map(self, token: lark.Token) -> AffineMap:
        return _read(literals.read_affine_map, token)

    def affine_set(self, token: lark.Token) -> AffineSet:
        return _read(literals.read_affine_set, token)

    def dense(self, token: lark.Token, type_: Type) -> DenseElements:
        return _read(lambda text: literals.read_dense(text, type_), token)

    def location(self, location: Location) -> Location:
        return location

    def place(self, span: Span) -> Location:
        return Location(span)

    def named(self, producer: lark.Token) -> Location:
        return Location(None, self.string(producer))

    def produced(self, producer: lark.Token, span: Span) -> Location:
        return Location(span, self.string(producer))

    def unknown(self) -> Location:
        return UNKNOWN

    def span(
        self,
        file: lark.Token,
        start_line: lark.Token,
        start_column: lark.Token,
        end_line: lark.Token | None,
        end_column: lark.Token,
    ) -> Span:
        start = int(start_line)
        end = start if end_line is None else int(end_line)
        return Span(SourceFile(self.string(file)), start, int(start_column), end, int(end_column))


def _settled(value: Attribute) -> Attribute:
    return int(value) if isinstance(value, _BareInteger) else value


@functools.cache
def _lark() -> lark.Lark:
    return lark.Lark(
        dmc_grammar.read("ir.lark"),
        parser="lalr",
        lexer="contextual",
        maybe_placeholders=True,
        transformer=_SyntaxTree(),
    )


_DESCRIPTIONS = {
    "VALUE": "a value such as `%x`",
    "OP_NAME": "an operation such as `tensor.reshape`",
    "NAME": "a name",
    "SYMBOL": "a symbol such as `@loss`",
    "STRING": "a string",
    "INT": "an integer",
    "SHAPED": "a type",
    "TAPE": "a type",
    "SCALAR": "a type",
    "DENSE": "a constant",
    "FLOAT": "a constant",
    "LABEL": "a block",
    "$END": "the end of the text",
}


def _parse(source: _Source) -> list[_Op]:
    try:
        # With a transformer inside, Lark returns what the callback of `start` made.
        tree: object = _lark().parse(source.file.text)  # pyright: ignore[reportUnknownMemberType]
    except UnexpectedInput as error:
        raise _syntax_error(source, error) from None
    except _LiteralError as error:
        raise source.error_at(error.token, str(error)) from None
    return cast("list[_Op]", tree)


def _syntax_error(source: _Source, error: UnexpectedInput) -> IRSyntaxError:
    if isinstance(error, UnexpectedToken):
        token = cast("lark.Token", error.token)  # pyright: ignore[reportUnknownMemberType]
        hint = _expectation(error.accepts or error.expected)
        if token.type != "$END":
            return source.error_at(token, f"unexpected `{token}`{hint}")
        line = source.file.text.count("\n") + 1
        column = len(source.file.text) - source.file.text.rfind("\n")
        return source.error(f"the text ends too early{hint}", line, column)
    line, column = max(error.line, 1), max(error.column, 1)
    character = source.file.text[error.pos_in_stream or 0]
    hint = _expectation(cast("set[str]", getattr(error, "allowed", None) or set()))
    return source.error(f"unexpected `{character}`{hint}", line, column)


def _expectation(terminals: set[str]) -> str:
    """`; expected …` when there are few possibilities."""
    literal = {t.name: t.pattern.value for t in _lark().terminals if t.pattern.type == "str"}
    words = {
        _DESCRIPTIONS.get(name) or f"`{literal[name]}`"
        for name in terminals
        if name in _DESCRIPTIONS or name in literal
    }
    return f"; expected {' or '.join(sorted(words))}" if 0 < len(words) <= 4 else ""


# Operations


class _Maker:
    """Makes operations from their syntax, with the values that are visible at each place."""

    def __init__(self, source: _Source) -> None:
        self.spans: dict[Operation, Span] = {}
        self._source = source
        self._visible: dict[str, Value] = {}
        # For each region around this place the names to forget at its end.
        self._inner: list[list[str]] = [[]]

    def body(self, operations: Sequence[_Op], block: Block) -> None:
        for op in operations:
            block.insert(self._operation(op))

    def _operation(self, syntax: _Op) -> Operation:
        cls = Operation.registry.get(syntax.name)
        if cls is None:
            raise self._source.error_at(syntax.name, f"no operation is called `{syntax.name}`")
        operands = [self._use(token) for token in syntax.operands]
        result_types = self._check_types(syntax, operands)
        regions = [self._region(body) for body in syntax.regions]
        hints = [_hint(token) for token in syntax.results]
        try:
            op = cls(operands, syntax.attributes, regions, result_types, syntax.location, hints)
        except VerifyError as error:
            raise self._source.error_at(syntax.name, str(error)) from None
        self.spans[op] = self._source.span(syntax.name)
        for token, value in zip(syntax.results, op.results, strict=True):
            self._define(token, value)
        return op

    def _check_types(self, syntax: _Op, operands: list[Value]) -> Sequence[Type]:
        """Result types, after holding the operands against the types that are written."""
        match syntax.type:
            case FunctionType(inputs, results):
                pass
            case None:
                inputs, results = (), ()
            case type_:
                inputs, results = (type_,) * len(operands), (type_,) * len(syntax.results)
        if len(inputs) != len(operands) or len(results) != len(syntax.results):
            message = (
                f"{len(operands)} operands and {len(syntax.results)} results, "
                f"but types for {len(inputs)} and {len(results)}"
            )
            raise self._source.error_at(syntax.name, message)
        for token, value, type_ in zip(syntax.operands, operands, inputs, strict=True):
            if value.type != type_:
                raise self._source.error_at(token, f"`{token}` is {value.type}, not {type_}")
        return results

    def _region(self, body: _Body) -> Region:
        self._inner.append([])
        block = Block([type_ for _, type_ in body.arguments], [_hint(t) for t, _ in body.arguments])
        for (token, _), value in zip(body.arguments, block.args, strict=True):
            self._define(token, value)
        self.body(body.operations, block)
        for name in self._inner.pop():
            del self._visible[name]
        return Region(block)

    def _use(self, token: lark.Token) -> Value:
        value = self._visible.get(token)
        if value is None:
            raise self._source.error_at(token, f"`{token}` is not defined before this")
        return value

    def _define(self, token: lark.Token, value: Value) -> None:
        if token in self._visible:
            raise self._source.error_at(token, f"`{token}` is defined twice")
        self._visible[str(token)] = value
        self._inner[-1].append(str(token))


def _hint(token: lark.Token) -> str:
    """The name to keep: none where the text has a number."""
    name = token[1:]
    return "" if name.isdigit() else name
