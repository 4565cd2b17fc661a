"""Kernels under Valgrind's memcheck: linked into a program without Python, on a heap of their own.

Every argument, result and the arena is a block that `malloc` gives, no byte longer than it says.
"""

from __future__ import annotations

import functools
import random
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import dmc
from dmc.jit.engine import Engine
from dmc.jit.target import named
from dmc.lowering.to_llvm.module import entry_symbol
from tests.fuzz import guards
from tests.fuzz.family import Fault, Outcome

TARGET = "x86-64-v3"
"""What this Valgrind knows: it has no AVX-512."""
TOOLS = ("valgrind", "cc")

SYSTEMS = """
fn factored[N](a: f64[N, N]) -> f64[N, N] =
    cholesky(a @ a.T + ([i in 0..N, j in 0..N] => (if i == j { 1.0 } else { 0.0 })))

fn solved[N](a: f64[N, N], b: f64[N]) -> f64[N] = solve(a, b)

fn orthogonal[N, M](a: f64[N, M]) -> (f64[N, M], f64[M, M]) = qr(a)

fn spectral[N](a: f64[N, N]) -> (f64[N], f64[N, N]) = eigh(a + a.T)

fn singular[N, M](a: f64[N, M]) -> (f64[N, M], f64[M], f64[M, M]) = svd(a)
"""

DRIVER = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern int32_t entry(void **buffers, void *arena, int32_t *stop) __asm__("%(entry)s");
void dmc_parallel_for(void (*task)(void *, int64_t, int64_t), void *context, int64_t count) {
    for (int64_t i = 0; i < count; i++) task(context, i, 0);
}

int main(void) {
    static const size_t sizes[] = {%(sizes)s};
    static const char kinds[] = "%(kinds)s";
    void *buffers[%(count)d];
    for (int i = 0; i < %(count)d; i++) {
        buffers[i] = malloc(sizes[i]);
        for (size_t at = 0; kinds[i] == 'd' && at < sizes[i] / 8; at++)
            ((double *)buffers[i])[at] = (rand() %% 2001 - 1000) / 500.0;
        for (size_t at = 0; kinds[i] == 's' && at < sizes[i] / 4; at++)
            ((float *)buffers[i])[at] = (rand() %% 2001 - 1000) / 500.0f;
        for (size_t at = 0; kinds[i] == 'i' && at < sizes[i] / 8; at++)
            ((int64_t *)buffers[i])[at] = rand() %% 200 - 100;
    }
    int32_t stop = 0;
    void *arena = aligned_alloc(64, (%(arena)d + 63) / 64 * 64);
    int32_t status = entry(buffers, arena, &stop);
    /* What is printed depends on every byte of the results: none may be undefined. */
    uint64_t sum = 0;
    for (int i = %(arguments)d; i < %(count)d; i++)
        for (size_t at = 0; at < sizes[i]; at++) sum = sum * 31 + ((unsigned char *)buffers[i])[at];
    printf("%%d %%llu\\n", status, (unsigned long long)sum);
    return 0;
}
"""


@functools.cache
def program() -> Any:
    return dmc.loads(guards.PROGRAM + SYSTEMS)


def names() -> list[str]:
    heads = (guards.PROGRAM + SYSTEMS).split("\nfn ")[1:]
    return [head.partition("[")[0] for head in heads]


def checked(name: str, sizes: dict[str, int], gradient: bool, folder: Path) -> str:
    """What memcheck complains of; nothing if all is well."""
    function: Any = getattr(program(), name)
    if gradient:
        function = dmc.vjp(function)._pull
    given = {g.name: sizes[g.name] for g in function.checked.generics}
    compilation = function.specialize(**given).compilation
    engine = Engine(named(TARGET))
    compilation._engine = engine
    made = compilation.llvm
    objects = [folder / f"{i}.o" for i in range(len(made.modules))]
    for path, text in zip(objects, made.modules, strict=True):
        path.write_bytes(engine.compile(text))
    inputs, results = compilation.argument_types, compilation.result_types
    letters = {"float64": "d", "float32": "s", "int64": "i", "int32": "i", "bool": "b"}
    source = DRIVER % {
        "entry": entry_symbol(compilation.entry),
        "sizes": ", ".join(str(t.size * t.dtype.bytes) for t in (*inputs, *results)),
        "kinds": "".join(letters[t.dtype.numpy.name] for t in inputs) + "-" * len(results),
        "count": len(inputs) + len(results),
        "arguments": len(inputs),
        "arena": made.arena_bytes + made.scratch_bytes + 64,
    }
    (folder / "driver.c").write_text(source)
    binary = str(folder / "driver")
    files = [str(folder / "driver.c"), *map(str, objects)]
    subprocess.run(["cc", "-O1", "-no-pie", "-o", binary, *files, "-lm"], check=True)
    options = ["--quiet", "--error-exitcode=9", "--track-origins=yes"]
    command = ["valgrind", *options, binary]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    return "" if done.returncode == 0 and not done.stderr else done.stderr or done.stdout


class Valgrind:
    """A seed is a function, itself or its pullback, and sizes."""

    name = "valgrind"

    def check(self, seed: int) -> Outcome:
        if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
            return f"skipped: there is no {missing[0]}"
        name = names()[seed % len(names())]
        rng = random.Random(f"valgrind {seed}")
        least = rng.choice((1, 3, 8, 9, 17, 33))
        sizes = {"M": least, "N": least + rng.choice((0, 1, 5))}
        gradient = seed // len(names()) % 2 == 1 and name != "odd"
        what = f"{'pullback of ' if gradient else ''}{name} with {sizes}"
        program()
        with tempfile.TemporaryDirectory() as folder:
            try:
                complaint = checked(name, sizes, gradient, Path(folder))
            except dmc.Error:
                return "refused"
        return Fault(what, complaint[:3000]) if complaint else "nothing to complain of"

    def shrunk(self, seed: int, fault: Fault) -> str:
        return f"seed {seed}: {fault.kind}"
