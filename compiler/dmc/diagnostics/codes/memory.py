"""Error codes of the family `memory`: programs that need more than there is."""

from __future__ import annotations

from dmc.diagnostics.codes.code import Code, Language

CODES: tuple[Code, ...] = (
    Code(
        "memory.size",
        "a program needs more memory than the machine has",
        "What a call needs is known before it runs. The message names the largest values and the "
        "lines that make them. An array that is only summed need not be kept; `checkpoint for` "
        "keeps less of a loop for its gradient.",
        'mod = dmc.loads("fn f[N](x: f64[N]) -> f64[N, N] = [i, j] => x[i] * x[j]")\n'
        "mod.f(np.ones(1_000_000))\n",
        'mod = dmc.loads("fn f[N](x: f64[N]) -> f64 = sum[i, j](x[i] * x[j])")\n'
        "mod.f(np.ones(1_000))\n",
        Language.PYTHON,
    ),
    Code(
        "memory.calls",
        "a function is too large with its calls written out",
        "A function is compiled with all that it calls. Where each of a row of functions calls the "
        "one before it twice, that doubles with every one of them.",
        'lines = ["fn f0(x: f64) -> f64 = sin(x)"]\n'
        "for i in range(1, 25):\n"
        '    lines.append(f"fn f{i}(x: f64) -> f64 = f{i - 1}(x) + f{i - 1}(x)")\n'
        'dmc.loads("\\n".join(lines)).f24(1.0)\n',
        'lines = ["fn f0(x: f64) -> f64 = sin(x)"]\n'
        "for i in range(1, 25):\n"
        '    lines.append(f"fn f{i}(x: f64) -> f64 = 2.0 * f{i - 1}(x)")\n'
        'dmc.loads("\\n".join(lines)).f24(1.0)\n',
        Language.PYTHON,
    ),
    Code(
        "memory.budget",
        "a budget of memory below what is possible",
        "A gradient under a budget computes values again instead of keeping them. Some must be "
        "there at once all the same; the message says how much that is, and which. Exactly so much "
        "is enough.",
        'mod = dmc.loads("fn f[N](x: f64[N]) -> f64 = sum(sort(x) * x)")\n'
        'dmc.grad(mod.f, budget="1kB")(np.ones(1_000))\n',
        'mod = dmc.loads("fn f[N](x: f64[N]) -> f64 = sum(sort(x) * x)")\n'
        'dmc.grad(mod.f, budget="1MB")(np.ones(1_000))\n',
        Language.PYTHON,
    ),
    Code(
        "memory.tape",
        "memory runs out while a gradient runs",
        "Of a loop whose count shows only as it runs (a `while`, a `for` whose count is computed) "
        "the reverse pass keeps what it needs of every iteration, in memory that grows with them. "
        "Bound the loop with `limit`, or keep less of it: `checkpoint while`, `checkpoint for`. "
        "Arguments that were donated to the call are gone.",
        "",
        "",
    ),
)
