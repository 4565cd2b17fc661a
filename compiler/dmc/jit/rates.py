"""The rates of the machine, measured with code that dmc's own engine compiles.

Once for each processor, in about a tenth of a second; afterwards they are in the cache on disk.
They are rounded to powers of two, so that the same machine has the same, busy or not; how large its
cache is, Linux says. They decide nothing that changes a result: how schedules add up depends on the
instructions that there are (`dmc.lowering.machine`), not on how fast they are.
"""

from __future__ import annotations

import ctypes
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dmc.diagnostics.diagnostic import Diagnostic
from dmc.diagnostics.errors import error
from dmc.ir.cost import USUAL, Rates
from dmc.ir.types import DType
from dmc.jit.cache import digest
from dmc.jit.engine import Code, Engine

RATES_VARIABLE = "DMC_RATES"
"""The environment variable that has the text of rates to go by, instead of measured ones."""

ACCUMULATORS = 12
_DEGREE = 12
"""That of the polynomial that stands for an elementary function, `_FUNCTION_FLOPS` as counted."""
_FUNCTION_FLOPS = 10
_SCALARS = {DType.F32: "float", DType.F64: "double"}
_TRIES = 5
_known: dict[str, Rates] = {}
"""What was found before in this process, by what code depends on."""
_STEPS = 20_000
_CACHED, _COPIED = 64 << 10, 24 << 20
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
"""Where Linux says of each cache of a processor which level it is, what it holds and its size."""


def rates_of(engine: Engine) -> Rates:
    """The rates of the machine that code of `engine` runs on, the usual ones if it runs nowhere.

    Raises UnsupportedError (`feature.target`) where the environment has no rates but other text.
    """
    given = os.environ.get(RATES_VARIABLE)
    if given:
        try:
            return Rates.of(given)
        except ValueError:
            title = f"`{RATES_VARIABLE}` does not say what the machine does in a second"
            help_ = (f"unset it, or give seven numbers: `{USUAL.text}`",)
            raise error(Diagnostic("feature.target", title, help=help_)) from None
    if not engine.target.is_host:
        return USUAL
    if engine.key() not in _known:
        _known[engine.key()] = _found(engine)
    return _known[engine.key()]


def _found(engine: Engine) -> Rates:
    name = digest("rates", engine.key())
    stored = None if engine.cache is None else engine.cache.get(name)
    if stored is not None:
        return Rates.of(stored.decode())
    found = measured(engine)
    if engine.cache is not None:
        engine.cache.put(name, found.text.encode())
    return found


def measured(engine: Engine) -> Rates:
    """The rates of this machine, each rounded to a power of two."""
    wide, narrow = DType.F64, DType.F32
    texts = [fma_text(d, engine.target.lanes(d)) for d in (narrow, wide)]
    texts += [_polynomial_text(d, engine.target.lanes(d)) for d in (narrow, wide)]
    names = [f"{kind}_{d.value}" for kind in ("fma", "polynomial") for d in (narrow, wide)]
    code = engine.load([*texts, copy_text(temporal=True)], [*names, "copy"])

    def fma(dtype: DType) -> float:
        function = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int64)(code[f"fma_{dtype.value}"])
        work = _STEPS * ACCUMULATORS * 2 * engine.target.lanes(dtype)
        return work / _fastest(lambda: function(_STEPS))

    def functions(dtype: DType) -> float:
        values = np.zeros(_CACHED // 4 // dtype.bytes + 8, dtype.numpy)
        take = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
        function = take(code[f"polynomial_{dtype.value}"])
        count = _CACHED // 4 // dtype.bytes
        start = values.ctypes.data
        return count * _FUNCTION_FLOPS / _fastest(lambda: function(start, count))

    return Rates(
        _rounded(fma(narrow)),
        _rounded(fma(wide)),
        _rounded(functions(narrow)),
        _rounded(functions(wide)),
        _rounded(_copying(code, _CACHED)),
        _rounded(_copying(code, _COPIED)),
        cache_bytes(engine.target.machine.l2_bytes),
    )


def cache_bytes(usual: int) -> int:
    """The size of the second-level cache of this machine, `usual` where nothing tells."""
    for folder in sorted(CACHES.glob("index*")):
        try:
            level, kind, size = (
                (folder / name).read_text("ascii").strip() for name in ("level", "type", "size")
            )
        except OSError:
            continue
        if level == "2" and kind != "Instruction" and size.endswith("K") and size[:-1].isdigit():
            return int(size[:-1]) << 10 or usual
    return usual


def _copying(code: Code, size: int) -> float:
    source, target = (np.ones(size + 64, np.uint8) for _ in range(2))
    copy = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(code["copy"])
    to, from_ = (a.ctypes.data + -a.ctypes.data % 64 for a in (target, source))
    return 2 * size / _fastest(lambda: copy(to, from_, size))


def _fastest(work: Callable[[], object]) -> float:
    work()
    best = math.inf
    for _ in range(_TRIES):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return max(best, 1e-9)


def _rounded(rate: float) -> float:
    return 2.0 ** round(math.log2(rate))


def fma_text(dtype: DType, lanes: int) -> str:
    """A loop of independent fused multiply-adds that never leaves the registers."""
    scalar = _SCALARS[dtype]
    vector = f"<{lanes} x {scalar}>"
    suffix = f"v{lanes}{dtype.value}"
    splat = ", ".join([f"{scalar} 5.0e-01"] * lanes)
    lines = [
        f"declare {vector} @llvm.fma.{suffix}({vector}, {vector}, {vector})",
        f"define double @fma_{dtype.value}(i64 %n) {{",
        "entry:",
        "  br label %loop",
        "loop:",
        "  %i = phi i64 [0, %entry], [%j, %loop]",
    ]
    for k in range(ACCUMULATORS):
        start = ", ".join([f"{scalar} {k}.0e+00"] * lanes)
        lines.append(f"  %a{k} = phi {vector} [<{start}>, %entry], [%b{k}, %loop]")
    for k in range(ACCUMULATORS):
        call = f"call {vector} @llvm.fma.{suffix}"
        lines.append(f"  %b{k} = {call}({vector} %a{k}, {vector} <{splat}>, {vector} <{splat}>)")
    lines += [
        "  %j = add i64 %i, 1",
        "  %more = icmp slt i64 %j, %n",
        "  br i1 %more, label %loop, label %done",
        "done:",
    ]
    total = "%b0"
    for k in range(1, ACCUMULATORS):
        lines.append(f"  %s{k} = fadd {vector} {total}, %b{k}")
        total = f"%s{k}"
    lines.append(f"  %e = extractelement {vector} {total}, i32 0")
    if dtype is DType.F32:
        lines += ["  %d = fpext float %e to double", "  ret double %d", "}"]
    else:
        lines += ["  ret double %e", "}"]
    return "\n".join(lines)


def _polynomial_text(dtype: DType, lanes: int) -> str:
    """A polynomial of each number of an array, as elementary functions are made of."""
    scalar = _SCALARS[dtype]
    vector = f"<{lanes} x {scalar}>"
    fma = f"@llvm.fma.v{lanes}{dtype.value}"
    lines = [
        f"declare {vector} {fma}({vector}, {vector}, {vector})",
        f"define void @polynomial_{dtype.value}(ptr %values, i64 %count) {{",
        "entry:",
        "  br label %loop",
        "loop:",
        "  %i = phi i64 [0, %entry], [%j, %loop]",
        f"  %p = getelementptr {scalar}, ptr %values, i64 %i",
        f"  %y0 = load {vector}, ptr %p, align {dtype.bytes}",
    ]
    splat = ", ".join([f"{scalar} 5.0e-01"] * lanes)
    for k in range(_DEGREE):
        call = f"call {vector} {fma}({vector} %y{k}, {vector} %y0, {vector} <{splat}>)"
        lines.append(f"  %y{k + 1} = {call}")
    lines += [
        f"  store {vector} %y{_DEGREE}, ptr %p, align {dtype.bytes}",
        f"  %j = add i64 %i, {lanes}",
        "  %more = icmp slt i64 %j, %count",
        "  br i1 %more, label %loop, label %done",
        "done:",
        "  ret void",
        "}",
    ]
    return "\n".join(lines)


def copy_text(*, temporal: bool) -> str:
    """Copying, by stores that pass the caches by unless it is `temporal`."""
    hint = "" if temporal else ", !nontemporal !0"
    return f"""
define void @copy(ptr %to, ptr %from, i64 %bytes) {{
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%j, %loop]
  %p = getelementptr i8, ptr %from, i64 %i
  %q = getelementptr i8, ptr %to, i64 %i
  %v = load <16 x float>, ptr %p, align 64
  store <16 x float> %v, ptr %q, align 64{hint}
  %j = add i64 %i, 64
  %more = icmp slt i64 %j, %bytes
  br i1 %more, label %loop, label %done
done:
  ret void
}}
!0 = !{{i32 1}}
"""
