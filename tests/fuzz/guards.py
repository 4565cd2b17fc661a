"""Kernels whose arguments and results lie between pages that nobody may touch.

A read or a write one byte before or behind an array ends the process.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import random
from collections.abc import Iterator
from typing import Any

import numpy as np

import dmc
from dmc.ir import Array
from tests.fuzz.agreement import is_close
from tests.fuzz.family import Fault, Outcome

PAGE = mmap.PAGESIZE

PROGRAM = """
fn scaled[N](x: f64[N], y: f64[N]) -> f64[N] = x * y + 1.0

fn single[N](x: f32[N], y: f32[N]) -> f32[N] = tanh(x) - exp(-y * y)

fn transposed[N, M](x: f64[N, M]) -> f64[M, N] = x.T

fn summed[N, M](x: f32[N, M]) -> f32[N] = sum[1](x * x)

fn across[N, M](x: f64[N, M]) -> f64[M] = [j in 0..M] => sum[i](x[i, j])

fn product[N, M](a: f64[N, M], b: f64[M, N]) -> f64[N, N] = a @ b

fn single_product[N, M](a: f32[N, M], b: f32[M, N]) -> f32[N, N] = a @ b

fn window[N](x: f64[N], k: f64[3]) -> f64[N] =
    [i in 0..N] => sum[j](x[clamp(i + j - 1, 0, N - 1)] * k[j])

fn picked[N, M](x: f64[N], i: i64[M]) -> f64[M] = [j in 0..M] => x[clamp(i[j], 0, N - 1)]

fn scattered[N, M](x: f64[M], i: i64[M], t: f64[N]) -> f64[N] {
    var out = t
    for j in 0..M { out[clamp(i[j], 0, N - 1)] += x[j] }
    out
}

fn running[N](x: f64[N]) -> f64[N] = cumsum[0](x)

fn ordered[N](x: f32[N]) -> f32[N] = sort[0](x)

fn masked[N](p: f64[N, N], v: f64[N]) -> f64[N] =
    [t in 0..N] => sum[u](if u <= t { p[t, u] * v[u] } else { 0.0 })

fn odd[N](x: f64[N], n: i64) -> bool[N] = [i in 0..N] => x[i] > f64(n)

fn table[N](x: f64[N]) -> f64[N] {
    var t = x
    for i in 1..N { t[i] = 0.5 * t[i - 1] + x[i] }
    t
}
"""


@functools.cache
def protect() -> Any:
    function = ctypes.CDLL(None, use_errno=True).mprotect
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return function


def guarded(array: Array, at_end: bool) -> Array:
    """A copy that begins or ends where a page is that may not be touched."""
    size = max(array.nbytes, 1)
    pages = -(-size // PAGE)
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    whole = np.frombuffer(memory, np.uint8)
    start = whole.ctypes.data
    for page in (start, start + (pages + 1) * PAGE):
        if protect()(page, PAGE, 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    # Elements are aligned; an array that ends at the page begins where its size says.
    offset = PAGE + (pages * PAGE - array.nbytes if at_end else 0)
    made: Array = np.ndarray(array.shape, array.dtype, whole.data, offset)
    made[...] = array
    return made


def names() -> Iterator[str]:
    for line in PROGRAM.splitlines():
        if line.startswith("fn "):
            yield line[3:].partition("[")[0]


@functools.cache
def program() -> Any:
    return dmc.loads(PROGRAM)


class Guards:
    """A seed decides the kernel, its sizes from 0 to 70, data with wild indexes, and the side."""

    name = "guards"

    def check(self, seed: int) -> Outcome:
        rng = random.Random(f"guard {seed}")
        name = rng.choice(list(names()))
        function = getattr(program(), name)
        if rng.random() < 0.3 and name != "odd":
            function = dmc.vjp(function)._pull
        sizes = {size: rng.choice((0, 1, 2, 3, 7, 8, 9, rng.randrange(71))) for size in "NM"}
        given = {g.name: sizes[g.name] for g in function.checked.generics}
        outcome = f"{name} with {given}"
        try:
            plain = self._values(function, given, seed)
            compiled = function.specialize(**given)
            wanted = compiled.compilation.executable(*plain)
            held = [guarded(array, at_end=rng.random() < 0.5) for array in plain]
            got = compiled.compilation.executable(*held)
            changed = [a.tobytes() != b.tobytes() for a, b in zip(plain, held, strict=True)]
        except dmc.Error:
            return "refused"
        if any(changed):
            return Fault("an argument changed", outcome)
        if not all(map(is_close, got, wanted)):
            return Fault("guarded arrays give another result", outcome)
        return "agrees"

    def _values(self, function: Any, sizes: dict[str, int], seed: int) -> list[Array]:
        rng = np.random.default_rng(seed)
        made: list[Array] = []
        for type_ in function.specialize(**sizes).compilation.argument_types:
            kind = type_.dtype.numpy
            if kind.kind == "i":
                wild = rng.integers(-(2**62), 2**62, type_.shape)
                made.append(np.where(rng.random(type_.shape) < 0.5, wild, 3).astype(kind))
            else:
                made.append(np.asarray(rng.standard_normal(type_.shape)).astype(kind))
        return made

    def shrunk(self, seed: int, fault: Fault) -> str:
        del seed
        return fault.detail
