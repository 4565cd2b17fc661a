"""f16 and bf16 in registers: their bits, which are converted and moved, never computed with.

LLVM would call library functions for conversions that a processor lacks, so all but those of F16C
are written out in integers, which vectorize.
"""

from __future__ import annotations

from dmc.ir.types import DType
from dmc.lowering import llvm_ir as ir
from dmc.lowering.to_llvm.function import FunctionLowering
from dmc.lowering.to_llvm.types import F32, F64, HALF, I16, I32, I64, shaped

Bits = ir.Value


def _number(like: ir.Value, number: float) -> ir.Constant:
    """A constant of the type of another value."""
    return ir.Constant(like.type, number)


def _lanes(x: ir.Value) -> int:
    return x.type.count if isinstance(x.type, ir.VectorType) else 1


def to_f32(f: FunctionLowering, x: ir.Value, source: DType) -> ir.Value:
    """The exact value of 16-bit floats."""
    b, lanes = f.builder, _lanes(x)
    if source is DType.BF16:
        bits = b.shl(b.zext(x, shaped(I32, lanes)), ir.Constant(shaped(I32, lanes), 16))
        return b.bitcast(bits, shaped(F32, lanes))
    if f.machine.converts_f16:
        return b.fpext(b.bitcast(x, shaped(HALF, lanes)), shaped(F32, lanes))
    bits = b.zext(x, shaped(I32, lanes))
    size = b.shl(b.and_(bits, _number(bits, 0x7FFF)), _number(bits, 13))
    # The exponent of f32 is biased by 112 more; for subnormal numbers too the product is exact.
    scaled = b.fmul(b.bitcast(size, shaped(F32, lanes)), ir.Constant(shaped(F32, lanes), 2.0**112))
    scaled = b.bitcast(scaled, size.type)
    finite = b.icmp_unsigned("<", size, _number(size, 0x1F << 23))
    size = b.select(finite, scaled, b.or_(size, _number(size, 0x7F800000)))
    sign = b.shl(b.and_(bits, _number(bits, 0x8000)), _number(bits, 16))
    return b.bitcast(b.or_(size, sign), shaped(F32, lanes))


def from_f32(f: FunctionLowering, x: ir.Value, target: DType) -> ir.Value:
    """16-bit floats nearest to those of f32, ties to even; NaN stays NaN."""
    b, lanes = f.builder, _lanes(x)
    if target is DType.F16 and f.machine.converts_f16:
        return b.bitcast(b.fptrunc(x, shaped(HALF, lanes)), shaped(I16, lanes))
    bits = b.bitcast(x, shaped(I32, lanes))
    is_nan = b.fcmp_unordered("uno", x, x)
    rounded = (_to_bf16 if target is DType.BF16 else _to_f16)(b, bits, is_nan)
    return b.trunc(rounded, shaped(I16, lanes))


def _to_bf16(b: ir.IRBuilder, bits: Bits, is_nan: ir.Value) -> Bits:
    """The upper half, to which the lower one is rounded; a NaN is made quiet."""
    upper = b.lshr(bits, _number(bits, 16))
    half = b.add(_number(bits, 0x7FFF), b.and_(upper, _number(bits, 1)))
    rounded = b.lshr(b.add(bits, half), _number(bits, 16))
    return b.select(is_nan, b.or_(upper, _number(bits, 0x40)), rounded)


def _to_f16(b: ir.IRBuilder, bits: Bits, is_nan: ir.Value) -> Bits:
    size = b.and_(bits, _number(bits, 0x7FFFFFFF))
    sign = b.and_(b.lshr(bits, _number(bits, 16)), _number(bits, 0x8000))
    # 13 bits less, and an exponent whose bias is 112 less.
    odd = b.and_(b.lshr(size, _number(bits, 13)), _number(bits, 1))
    moved = b.add(b.add(size, odd), _number(bits, 0xFFF - (112 << 23)))
    normal = b.lshr(moved, _number(bits, 13))
    # Added to 0.5, what is below 2^-14 is rounded to multiples of 2^-24.
    lanes = _lanes(bits)
    half = ir.Constant(shaped(F32, lanes), 0.5)
    added = b.fadd(b.bitcast(size, half.type), half)
    subnormal = b.sub(b.bitcast(added, bits.type), _number(bits, 0x3F000000))
    small = b.icmp_unsigned("<", size, _number(bits, 0x38800000))
    finite = b.select(small, subnormal, normal)
    large = b.icmp_unsigned(">=", size, _number(bits, 0x47800000))
    beyond = b.select(is_nan, _number(bits, 0x7E00), _number(bits, 0x7C00))
    return b.or_(b.select(large, beyond, finite), sign)


def odd_f32(f: FunctionLowering, x: ir.Value) -> ir.Value:
    """f64 as f32, such that what is rounded next is rounded as if it were once.

    What is between two neighbours becomes the odd one, as in `ir.halves`.
    """
    b, lanes = f.builder, _lanes(x)
    near = b.fptrunc(x, shaped(F32, lanes))
    back = b.fpext(near, x.type)
    bits = b.bitcast(near, shaped(I32, lanes))
    # Neither of NaN: those stay.
    inexact = b.zext(b.fcmp_ordered("!=", back, x), bits.type)
    suffix = "f64" if lanes == 1 else f"v{lanes}f64"
    size, limit = (f.intrinsic("fabs", x.type, [each], [suffix]) for each in (back, x))
    beyond = b.zext(b.fcmp_ordered(">", size, limit), bits.type)
    return b.bitcast(b.or_(b.sub(bits, beyond), inexact), near.type)


def odd_f64(f: FunctionLowering, x: ir.Value) -> ir.Value:
    """Whole numbers as f64; those of more than 53 bits odd likewise."""
    b, lanes = f.builder, _lanes(x)
    plain = b.sitofp(x, shaped(F64, lanes))
    if _element(x) != I64:
        return plain
    low = b.and_(x, _number(x, 0x7FF))
    some = b.icmp_signed("!=", low, _number(x, 0))
    odd = b.or_(b.sub(x, low), b.select(some, _number(x, 0x800), _number(x, 0)))
    suffix = "f64" if lanes == 1 else f"v{lanes}f64"
    size = f.intrinsic("fabs", plain.type, [plain], [suffix])
    exact = b.fcmp_ordered("<", size, _number(plain, 2.0**53))
    return b.select(exact, plain, b.sitofp(odd, plain.type))


def _element(x: ir.Value) -> ir.Type:
    return x.type.element if isinstance(x.type, ir.VectorType) else x.type
