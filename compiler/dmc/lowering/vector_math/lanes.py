"""Straight-line arithmetic on vectors, written as ordinary expressions.

`Real`, `Integer` and `Mask` wrap LLVM values of one shape (`lanes` elements, or a scalar when
`lanes` is 1) and overload Python's operators, so that a function of this package reads like the
formula in the paper it comes from. Every operator appends one instruction; constants are splats.
No fast-math flag is ever set: each operation rounds once, to nearest, as IEEE 754 says.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dmc.lowering import llvm_ir as ir

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dmc.lowering.machine import Machine


class Format(enum.Enum):
    """An IEEE 754 binary format: `(bits, fraction bits, exponent bias)`."""

    F32 = (32, 23, 127)
    F64 = (64, 52, 1023)

    @property
    def bits(self) -> int:
        return self.value[0]

    @property
    def fraction_bits(self) -> int:
        return self.value[1]

    @property
    def bias(self) -> int:
        return self.value[2]

    @property
    def scalar(self) -> ir.Type:
        return ir.FloatType() if self is Format.F32 else ir.DoubleType()

    @property
    def suffix(self) -> str:
        return f"f{self.bits}"

    @property
    def shifter(self) -> float:
        """1.5·2^fraction: adding it rounds to an integer and leaves that in the low bits."""
        return 1.5 * 2.0**self.fraction_bits

    def encode(self, x: float) -> int:
        """The bits of `x`, which must be a number of this format (or rounds to one)."""
        if self is Format.F32:
            return int.from_bytes(struct.pack("<f", x), "little")
        return int.from_bytes(struct.pack("<d", x), "little")

    def decode(self, bits: int) -> float:
        if self is Format.F32:
            return float(struct.unpack("<f", bits.to_bytes(4, "little"))[0])
        return float(struct.unpack("<d", bits.to_bytes(8, "little"))[0])

    def round(self, x: float) -> float:
        return self.decode(self.encode(x))


@dataclass(frozen=True)
class Lanes:
    """Where instructions go and what they work on.

    On a machine without fused multiply-add `fma(a, b, c)` rounds twice: calling the C library's
    exact emulation would be far slower. The error bounds are then a little larger; `product` stays
    exact either way. Nothing else of the machine shows in a result.
    """

    builder: ir.IRBuilder
    format: Format
    count: int
    machine: Machine

    def shaped(self, element: ir.Type) -> ir.Type:
        return element if self.count == 1 else ir.VectorType(element, self.count)

    @property
    def real_type(self) -> ir.Type:
        return self.shaped(self.format.scalar)

    @property
    def integer_type(self) -> ir.Type:
        return self.shaped(ir.IntType(self.format.bits))

    def _splat(self, element: ir.Type, text: str) -> ir.Constant:
        splat = text if self.count == 1 else f"splat ({element} {text})"
        return ir.Literal(self.shaped(element), splat)

    def real(self, x: Real | float) -> Real:
        """`x` in every lane, rounded to the format."""
        if isinstance(x, Real):
            return x
        # LLVM spells a float constant by the bits of the equal double.
        bits = Format.F64.encode(self.format.round(x))
        return Real(self, self._splat(self.format.scalar, f"0x{bits:016X}"))

    def integer(self, x: Integer | int) -> Integer:
        if isinstance(x, Integer):
            return x
        bits = self.format.bits
        wrapped = (x + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))
        return Integer(self, self._splat(ir.IntType(bits), str(wrapped)))

    def intrinsic(self, name: str, *operands: Real) -> Real:
        """Call `llvm.<name>` on values of this shape."""
        suffix = self.format.suffix
        shape = suffix if self.count == 1 else f"v{self.count}{suffix}"
        name = f"llvm.{name}.{shape}"
        function = self.builder.module.globals.get(name)
        if function is None:
            signature = ir.FunctionType(self.real_type, [self.real_type] * len(operands))
            function = ir.Function(self.builder.module, signature, name)
        assert isinstance(function, ir.Function)
        return Real(self, self.builder.call(function, [operand.value for operand in operands]))

    def fma(self, a: Real | float, b: Real | float, c: Real | float) -> Real:
        """a·b + c, rounded once where the target can."""
        a, b, c = self.real(a), self.real(b), self.real(c)
        return self.intrinsic("fma", a, b, c) if self.machine.has_fma else a * b + c

    def polynomial(self, x: Real, coefficients: Sequence[float]) -> Real:
        """Horner's scheme, lowest degree first; two interleaved chains when it is long."""
        if len(coefficients) <= 8:
            result = self.real(coefficients[-1])
            for c in reversed(coefficients[:-1]):
                result = self.fma(result, x, c)
            return result
        square = x * x
        even = self.polynomial(square, coefficients[0::2])
        odd = self.polynomial(square, coefficients[1::2])
        return self.fma(odd, x, even)

    def product(self, a: Real, b: Real | float) -> tuple[Real, Real]:
        """a·b exactly, as rounded product and its error (Dekker 1971 where there is no FMA)."""
        b = self.real(b)
        high = a * b
        if self.machine.has_fma:
            return high, self.fma(a, b, -high)
        a1, a2 = self.split(a)
        b1, b2 = self.split(b)
        return high, ((a1 * b1 - high) + a1 * b2 + a2 * b1) + a2 * b2

    def split(self, a: Real) -> tuple[Real, Real]:
        """`a` as the sum of two halves whose products are exact (Veltkamp, by masking bits)."""
        keep = -1 << ((self.format.fraction_bits + 2) // 2)
        high = (a.bits() & keep).as_real()
        return high, a - high

    def sum(self, a: Real, b: Real) -> tuple[Real, Real]:
        """a + b exactly, for |a| ≥ |b| or a = 0 (Dekker's fast two-sum)."""
        high = a + b
        return high, b - (high - a)

    def two_sum(self, a: Real, b: Real) -> tuple[Real, Real]:
        """a + b exactly, in any order (Knuth, TAOCP 2, 4.2.2)."""
        high = a + b
        shadow = high - a
        return high, (a - (high - shadow)) + (b - shadow)

    def select(self, mask: Mask, then: Real | float, otherwise: Real | float) -> Real:
        a, b = self.real(then), self.real(otherwise)
        return Real(self, self.builder.select(mask.value, a.value, b.value))

    def choose(self, mask: Mask, then: Integer | int, otherwise: Integer | int) -> Integer:
        """`select` on integers."""
        a, b = self.integer(then), self.integer(otherwise)
        return Integer(self, self.builder.select(mask.value, a.value, b.value))

    def nearest(self, x: Real, factor: float = 1.0) -> tuple[Real, Integer]:
        """x·factor rounded to an integer, as real and as integer, below 2^(fraction bits - 2)."""
        multiple, low_bits = self.nearest_low_bits(x, factor)
        return multiple, low_bits - self.format.encode(self.format.shifter)

    def nearest_low_bits(self, x: Real, factor: float = 1.0) -> tuple[Real, Integer]:
        """`nearest`, but only the lower half of the integer's bits is right."""
        shifted = self.fma(x, factor, self.format.shifter)
        return shifted - self.format.shifter, shifted.bits()

    def to_real(self, n: Integer) -> Real:
        """Exact conversion of |n| < 2^(fraction bits - 1), without a conversion instruction."""
        shifter = self.format.shifter
        return (n + self.format.encode(shifter)).as_real() - shifter

    def power_of_two(self, n: Integer) -> Real:
        """2^n for exponents of normal numbers."""
        return ((n + self.format.bias) << self.format.fraction_bits).as_real()

    def scale(self, x: Real, n: Integer) -> Real:
        """x·2^n for |n| ≤ 2·bias, rounding once when the result is subnormal."""
        half = n >> 1
        return x * self.power_of_two(half) * self.power_of_two(n - half)

    def where(self, mask: Mask, then: Callable[[], Real], otherwise: Real) -> Real:
        """`select(mask, then(), otherwise)`, where lanes seldom want `then` and it seldom runs."""
        builder = self.builder
        before = builder.block
        with builder.if_then(mask.any(), weights=(1, 99)):
            selected = self.select(mask, then(), otherwise)
            inside = builder.block
        phi = builder.phi(self.real_type)
        phi.add_incoming(otherwise.value, before)
        phi.add_incoming(selected.value, inside)
        return Real(self, phi)

    def repeat(
        self, value: Real, step: Callable[[Real], Real], again: Callable[[Real], Mask]
    ) -> Real:
        """`step` on the value, once and then while `again` holds of it in any lane."""
        builder = self.builder
        before = builder.block
        loop, after = builder.append_basic_block(), builder.append_basic_block()
        builder.branch(loop)
        builder.position_at_end(loop)
        phi = builder.phi(self.real_type)
        phi.add_incoming(value.value, before)
        stepped = step(Real(self, phi))
        phi.add_incoming(stepped.value, builder.block)
        builder.cbranch(again(stepped).any(), loop, after)
        builder.position_at_end(after)
        return stepped

    def apply(self, function: Callable[..., Real], *operands: Real) -> Real:
        """`function` on these operands in double precision, rounded back to the format."""
        if self.format is Format.F64:
            return function(self, *operands)
        wide = Lanes(self.builder, Format.F64, self.count, self.machine)
        widened = [Real(wide, self.builder.fpext(x.value, wide.real_type)) for x in operands]
        result = function(wide, *widened)
        return Real(self, self.builder.fptrunc(result.value, self.real_type))


@dataclass(frozen=True, slots=True)
class Real:
    """Floating-point lanes."""

    lanes: Lanes
    value: ir.Value

    def _binary(self, emit: Callable[[ir.Value, ir.Value], ir.Value], other: Real | float) -> Real:
        return Real(self.lanes, emit(self.value, self.lanes.real(other).value))

    def __add__(self, other: Real | float) -> Real:
        return self._binary(self.lanes.builder.fadd, other)

    def __sub__(self, other: Real | float) -> Real:
        return self._binary(self.lanes.builder.fsub, other)

    def __mul__(self, other: Real | float) -> Real:
        return self._binary(self.lanes.builder.fmul, other)

    def __truediv__(self, other: Real | float) -> Real:
        return self._binary(self.lanes.builder.fdiv, other)

    def __radd__(self, other: float) -> Real:
        return self.lanes.real(other) + self

    def __rsub__(self, other: float) -> Real:
        return self.lanes.real(other) - self

    def __rmul__(self, other: float) -> Real:
        return self.lanes.real(other) * self

    def __rtruediv__(self, other: float) -> Real:
        return self.lanes.real(other) / self

    def __neg__(self) -> Real:
        return Real(self.lanes, self.lanes.builder.fneg(self.value))

    def __abs__(self) -> Real:
        return self.lanes.intrinsic("fabs", self)

    def compare(self, relation: str, other: Real | float) -> Mask:
        """An ordered comparison: false where either side is NaN."""
        other = self.lanes.real(other)
        compare = self.lanes.builder.fcmp_ordered
        return Mask(self.lanes, compare(relation, self.value, other.value))

    def __lt__(self, other: Real | float) -> Mask:
        return self.compare("<", other)

    def __le__(self, other: Real | float) -> Mask:
        return self.compare("<=", other)

    def __gt__(self, other: Real | float) -> Mask:
        return self.compare(">", other)

    def __ge__(self, other: Real | float) -> Mask:
        return self.compare(">=", other)

    def equals(self, other: Real | float) -> Mask:
        return self.compare("==", other)

    def is_nan(self) -> Mask:
        compare = self.lanes.builder.fcmp_unordered
        return Mask(self.lanes, compare("uno", self.value, self.value))

    def is_negative(self) -> Mask:
        """True where the sign bit is set, so also of -0."""
        return self.bits() < 0

    def at_most(self, bound: Real | float) -> Real:
        """The smaller of the two; NaN stays NaN."""
        return self.lanes.select(self > bound, bound, self)

    def at_least(self, bound: Real | float) -> Real:
        """The larger of the two; NaN stays NaN."""
        return self.lanes.select(self < bound, bound, self)

    def with_sign_of(self, other: Real) -> Real:
        return self.lanes.intrinsic("copysign", self, other)

    def sqrt(self) -> Real:
        return self.lanes.intrinsic("sqrt", self)

    def floor(self) -> Real:
        return self.lanes.intrinsic("floor", self)

    def bits(self) -> Integer:
        bitcast = self.lanes.builder.bitcast
        return Integer(self.lanes, bitcast(self.value, self.lanes.integer_type))


@dataclass(frozen=True, slots=True)
class Integer:
    """Two's complement lanes as wide as the format; `>>` keeps the sign."""

    lanes: Lanes
    value: ir.Value

    def _binary(
        self, emit: Callable[[ir.Value, ir.Value], ir.Value], other: Integer | int
    ) -> Integer:
        return Integer(self.lanes, emit(self.value, self.lanes.integer(other).value))

    def __add__(self, other: Integer | int) -> Integer:
        return self._binary(self.lanes.builder.add, other)

    def __sub__(self, other: Integer | int) -> Integer:
        return self._binary(self.lanes.builder.sub, other)

    def __and__(self, other: Integer | int) -> Integer:
        return self._binary(self.lanes.builder.and_, other)

    def __or__(self, other: Integer | int) -> Integer:
        return self._binary(self.lanes.builder.or_, other)

    def __xor__(self, other: Integer | int) -> Integer:
        return self._binary(self.lanes.builder.xor, other)

    def __lshift__(self, other: int) -> Integer:
        return self._binary(self.lanes.builder.shl, other)

    def __rshift__(self, other: int) -> Integer:
        return self._binary(self.lanes.builder.ashr, other)

    def compare(self, relation: str, other: Integer | int) -> Mask:
        other = self.lanes.integer(other)
        compare = self.lanes.builder.icmp_signed
        return Mask(self.lanes, compare(relation, self.value, other.value))

    def __lt__(self, other: Integer | int) -> Mask:
        return self.compare("<", other)

    def __gt__(self, other: Integer | int) -> Mask:
        return self.compare(">", other)

    def equals(self, other: Integer | int) -> Mask:
        return self.compare("==", other)

    def as_real(self) -> Real:
        """The same bits, read as floating point."""
        bitcast = self.lanes.builder.bitcast
        return Real(self.lanes, bitcast(self.value, self.lanes.real_type))


@dataclass(frozen=True, slots=True)
class Mask:
    """A truth value for each lane."""

    lanes: Lanes
    value: ir.Value

    def __and__(self, other: Mask) -> Mask:
        return Mask(self.lanes, self.lanes.builder.and_(self.value, other.value))

    def __or__(self, other: Mask) -> Mask:
        return Mask(self.lanes, self.lanes.builder.or_(self.value, other.value))

    def __xor__(self, other: Mask) -> Mask:
        return Mask(self.lanes, self.lanes.builder.xor(self.value, other.value))

    def __invert__(self) -> Mask:
        return Mask(self.lanes, self.lanes.builder.not_(self.value))

    def any(self) -> ir.Value:
        """One bit: whether any lane is true."""
        if self.lanes.count == 1:
            return self.value
        builder = self.lanes.builder
        packed = builder.bitcast(self.value, ir.IntType(self.lanes.count))
        return builder.icmp_unsigned("!=", packed, ir.Constant(packed.type, 0))
