"""IR as text, in two forms that `dmc.ir.parser` reads back.

The pretty form is for reading:

    func.func @loss(%w: tensor<3xf64>, %x: tensor<3xf64>) -> tensor<f64> {
      %p = arith.multiply %w, %x : tensor<3xf64>
      %s = tensor.reduce %p {dimensions = [0], kind = "sum"} : (tensor<3xf64>) -> tensor<f64>
      func.return %s : tensor<f64>
    }

One type stands for all operands and results when they agree; attributes that have their default
are left out. The generic form is MLIR's (https://mlir.llvm.org/docs/LangRef/): nothing is left
out, and MLIR's own parser accepts it when unregistered dialects are allowed.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from dmc.ir.affine import AffineMap
from dmc.ir.affine_set import AffineSet
from dmc.ir.attributes import ArrayAttr, Attribute, DenseElements, SymbolRef
from dmc.ir.declarations import Trait
from dmc.ir.location import Location, Span
from dmc.ir.module import Module
from dmc.ir.operation import Block, Operation, Region, Value
from dmc.ir.types import Array, DType, FunctionType, ScalarType, Type, VectorType

_INDENT = "  "
_BARE_SYMBOL = re.compile(r"[A-Za-z_][\w$.]*", re.ASCII)
_NOT_IN_NAMES = re.compile(r"[^\w$.]", re.ASCII)
_ESCAPED = re.compile(r'["\\\x00-\x1f\x7f]')
# Longer constants are printed as the bytes they are: exact, and faster to read back.
_MOST_LISTED_ELEMENTS = 64


Comments = Callable[[Operation, Callable[[Value], str]], Iterable[str]]
"""The lines in front of an operation, given how the printer names values."""


def print_module(
    module: Module,
    *,
    generic: bool = False,
    locations: bool = False,
    comments: Comments | None = None,
) -> str:
    """The text of `module`, ending in a newline.

    `generic` chooses MLIR's generic syntax; `locations` adds to every operation its source span
    and the pass or rule that produced it, `comments` lines in front, which are not read back. The
    pretty form of a module without attributes is just its functions, separated by empty lines.
    """
    printer = Printer(generic=generic, locations=locations, comments=comments)
    bare = not generic and not module.attributes and not (locations and _has_place(module))
    if not bare:
        return printer.operation(module) + "\n"
    return "\n".join(printer.operation(op) + "\n" for op in module.body)


class Printer:
    """Prints operations, giving each value a name that is unique in its function.

    Names come from the source where there are any (`%h`, `%h_1`), else they are numbers.
    """

    def __init__(
        self,
        *,
        generic: bool = False,
        locations: bool = False,
        comments: Comments | None = None,
    ) -> None:
        self.generic = generic
        self.locations = locations
        self.comments = comments
        self._names: dict[Value, str] = {}
        self._taken: set[str] = set()
        self._counts: dict[str, int] = {}
        self._unnamed = 0

    def value(self, value: Value) -> str:
        """`%name`, the same for every mention of `value`."""
        name = self._names.get(value)
        if name is None:
            name = self._names[value] = "%" + self._fresh(value.name)
        return name

    def operation(self, op: Operation, indent: str = "") -> str:
        """The text of `op` and all inside it; lines after the first start with `indent`."""
        if "sym_name" in op.attributes:
            # Nothing outside a function sees its values, so their names are free again.
            outside = (self._taken.copy(), self._counts.copy(), self._unnamed)
            text = self._form(op, indent)
            self._taken, self._counts, self._unnamed = outside
        else:
            text = self._form(op, indent)
        if op.results:
            text = f"{', '.join(map(self.value, op.results))} = {text}"
        if self.locations and _has_place(op):
            text += f" loc({print_location(op.location)})"
        return text

    def _form(self, op: Operation, indent: str) -> str:
        return self._generic(op, indent) if self.generic else self._pretty(op, indent)

    def _fresh(self, hint: str) -> str:
        if not hint:
            self._unnamed += 1
            return str(self._unnamed - 1)
        base = _NOT_IN_NAMES.sub("_", hint)
        if base[0].isdigit():
            base = "_" + base
        name = base
        while name in self._taken:
            self._counts[base] = count = self._counts.get(base, 0) + 1
            name = f"{base}_{count}"
        self._taken.add(name)
        return name

    def _values(self, values: Sequence[Value]) -> str:
        return ", ".join(map(self.value, values))

    # Generic form

    def _generic(self, op: Operation, indent: str) -> str:
        text = f'"{op.name}"({self._values(op.operands)})'
        if op.attributes:
            text += f" <{{{self._entries(op.attributes)}}}>"
        if op.regions:
            text += f" ({', '.join(self._generic_region(r, indent) for r in op.regions)})"
        return f"{text} : {_signature(op)}"

    def _generic_region(self, region: Region, indent: str) -> str:
        lines = ["{"]
        if region.block.args:
            lines.append(f"{indent}^bb0({self._typed_args(region.block)}):")
        elif region.block.first is None:
            lines.append(f"{indent}^bb0:")
        lines += self._body(region.block, indent)
        return "\n".join([*lines, indent + "}"])

    # Pretty form

    def _pretty(self, op: Operation, indent: str) -> str:
        if _is_symbol_definition(op):
            return self._definition(op, indent)
        literal = _constant_literal(op)
        if literal is not None:
            return f"{op.name} {literal} : {op.results[0].type}"
        text = op.name
        if op.operands:
            text += " " + self._values(op.operands)
        text += self._shown_attributes(op, ())
        types = [*op.operand_types, *op.result_types]
        if types and not isinstance(types[0], FunctionType) and len(set(types)) == 1:
            text += f" : {types[0]}"
        elif types:
            text += f" : {_signature(op)}"
        if op.regions:
            text += " " + ", ".join(self._region(region, indent) for region in op.regions)
        # A name on its own would take what is defined on the next line for its operands.
        return text if text != op.name else f"{text}()"

    def _definition(self, op: Operation, indent: str) -> str:
        block = op.regions[0].block
        symbol = op.attributes["sym_name"]
        text = f"{op.name} {_symbol(str(symbol))}({self._typed_args(block)})"
        hidden = ["sym_name"]
        type_ = op.attributes.get("function_type")
        if isinstance(type_, FunctionType) and type_.inputs == tuple(a.type for a in block.args):
            text += f" -> {_result_types(type_.results)}"
            hidden.append("function_type")
        text += self._shown_attributes(op, hidden)
        return f"{text} {self._braced(block, indent)}"

    def _shown_attributes(self, op: Operation, hidden: Sequence[str]) -> str:
        shown: dict[str, Attribute] = {}
        for key, value in op.attributes.items():
            declared = op.declared_attributes.get(key)
            default = None if declared is None else declared.default
            is_default = default is not None and self.attribute(default) == self.attribute(value)
            if key not in hidden and not is_default:
                shown[key] = value
        return f" {{{self._entries(shown)}}}" if shown else ""

    def _region(self, region: Region, indent: str) -> str:
        args = self._typed_args(region.block)
        return (f"({args}) " if args else "") + self._braced(region.block, indent)

    def _braced(self, block: Block, indent: str) -> str:
        return "\n".join(["{", *self._body(block, indent), indent + "}"])

    # Both forms

    def _typed_args(self, block: Block) -> str:
        return ", ".join(f"{self.value(arg)}: {arg.type}" for arg in block.args)

    def _body(self, block: Block, indent: str) -> Iterator[str]:
        deeper = indent + _INDENT
        for op in block:
            text = self.operation(op, deeper)  # before comments, which must not number values
            for line in self.comments(op, self.value) if self.comments is not None else ():
                yield f"{deeper}// {line}"
            yield deeper + text

    def _entries(self, attributes: dict[str, Attribute]) -> str:
        return ", ".join(f"{key} = {self.attribute(attributes[key])}" for key in sorted(attributes))

    def attribute(self, value: Attribute) -> str:
        """The text of an attribute, from which the parser makes an equal one."""
        match value:
            case bool():
                return "true" if value else "false"
            case int():
                return str(value)
            case float():
                return print_float(value)
            case str():
                return quote(value)
            case tuple():
                return self._integers(value)
            case SymbolRef(name):
                return _symbol(name)
            case AffineMap():
                # MLIR's affine maps do not clamp; its parser takes any text in another dialect's.
                opaque = self.generic and value.clamps
                return f'#dmc.map<"{value}">' if opaque else f"affine_map<{value}>"
            case AffineSet():
                return f"affine_set<{value}>"
            case ArrayAttr(items):
                return self._array(items)
            case DenseElements():
                return f"{_dense_literal(value)} : {value.type}"
            case Type():
                return str(value)

    def _integers(self, values: tuple[int, ...]) -> str:
        listed = ", ".join(map(str, values))
        if not self.generic:
            return f"[{listed}]"
        return f"array<i64: {listed}>" if values else "array<i64>"

    def _array(self, items: tuple[Attribute, ...]) -> str:
        if not items:
            # `[]` is the pretty form of an empty tuple; MLIR takes this for some dialect's own.
            return "#dmc.array<>"
        listed = [self.attribute(item) for item in items]
        if all(isinstance(item, int) and not isinstance(item, bool) for item in items):
            listed = [f"{item} : i64" for item in listed]
        return f"[{', '.join(listed)}]"


def quote(text: str) -> str:
    """`text` as a string literal with MLIR's escapes."""
    return '"' + _ESCAPED.sub(lambda match: f"\\{ord(match[0]):02X}", text) + '"'


def print_float(value: float) -> str:
    """The shortest decimal that reads back as `value`; infinities and NaN as bits of an f64."""
    if not math.isfinite(value):
        return f"0x{struct.unpack('>Q', struct.pack('>d', value))[0]:016X} : f64"
    return _with_point(repr(value))


def print_location(location: Location) -> str:
    """What stands inside `loc(…)`, in MLIR's syntax for ranges of files."""
    producer = quote(location.producer)
    if location.span is None:
        return producer if location.producer else "unknown"
    span = _print_span(location.span)
    return f"fused<{producer}>[{span}]" if location.producer else span


def _print_span(span: Span) -> str:
    start = f"{quote(span.file.name)}:{span.start_line}:{span.start_column}"
    return f"{start} to {span.end_line}:{span.end_column}"


def _has_place(op: Operation) -> bool:
    return op.location.span is not None or bool(op.location.producer)


def _symbol(name: str) -> str:
    return "@" + (name if _BARE_SYMBOL.fullmatch(name) else quote(name))


def _signature(op: Operation) -> str:
    operands = ", ".join(map(str, op.operand_types))
    return f"({operands}) -> {_result_types(op.result_types)}"


def _result_types(types: Sequence[Type]) -> str:
    if len(types) == 1 and not isinstance(types[0], FunctionType):
        return str(types[0])
    return f"({', '.join(map(str, types))})"


def _is_symbol_definition(op: Operation) -> bool:
    return (
        isinstance(op.attributes.get("sym_name"), str)
        and len(op.regions) == 1
        and not op.operands
        and not op.results
    )


def _constant_literal(op: Operation) -> str | None:
    """The value of a constant when the type of its result completes it, else None."""
    if not op.has(Trait.CONSTANT) or op.attributes.keys() != {"value"} or len(op.results) != 1:
        return None
    type_ = op.results[0].type
    match op.attributes["value"]:
        case DenseElements() as dense if dense.type == type_:
            return _dense_literal(dense)
        case bool(value) if isinstance(type_, ScalarType | VectorType):
            return "true" if value else "false"
        case int(value) if isinstance(type_, ScalarType | VectorType):
            return str(value)
        case float(value) if isinstance(type_, ScalarType | VectorType):
            return print_float(value).removesuffix(" : f64")
        case _:
            return None


def _with_point(digits: str) -> str:
    """MLIR wants a point in every float literal: `1e-05` becomes `1.0e-05`."""
    if "." in digits:
        return digits
    mantissa, exponent_mark, exponent = digits.partition("e")
    return f"{mantissa}.0{exponent_mark}{exponent}"


def _dense_literal(dense: DenseElements) -> str:
    array = dense.array
    splat = dense.splat_value
    if splat is not None:
        return (
            f"dense<{_element(array[(slice(0, 1),) * array.ndim].reshape(()), dense.type.dtype)}>"
        )
    if array.size > _MOST_LISTED_ELEMENTS and dense.type.dtype is not DType.BOOL:
        data = array.astype(array.dtype.newbyteorder("<")).tobytes()
        return f'dense<"0x{data.hex().upper()}">'
    return f"dense<{_nested(array, dense.type.dtype)}>" if array.size else "dense<>"


def _nested(array: Array, dtype: DType) -> str:
    if array.ndim == 0:
        return _element(array, dtype)
    return f"[{', '.join(_nested(np.asarray(part), dtype) for part in array)}]"


def _element(element: Array, dtype: DType) -> str:
    """One element (0-d), exact: as its bits where no decimal is."""
    if dtype is DType.BOOL:
        return "true" if element else "false"
    if not dtype.is_float:
        return str(element)
    text = _with_point(str(element))
    exact = math.isfinite(element) and np.array(float(text), dtype.numpy) == element
    if exact:
        return text
    bits = element.tobytes()
    if np.dtype(dtype.numpy).byteorder != ">":
        bits = bits[::-1]
    return f"0x{bits.hex().upper()}"
