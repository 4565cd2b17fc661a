"""Error codes of the family `key`: random keys."""

from __future__ import annotations

from dmc.diagnostics.codes.code import Code

CODES: tuple[Code, ...] = (
    Code(
        "key.reused",
        "a key is spent twice",
        "Two draws from one key are equal, which is hardly ever meant. `split` gives "
        "several keys; `fold(key, i)` gives one for each step of a loop and spends "
        "nothing. Keys are followed as values: under another name, in a tuple or record, "
        "through loops and calls.",
        "fn pair[N](key: Key) -> f64[2, N] {\n"
        "    let a = normal[N](key)\n"
        "    let b = normal[N](key)\n"
        "    [a, b]\n"
        "}\n",
        "fn pair[N](key: Key) -> f64[2, N] {\n"
        "    let (k1, k2) = split(key)\n"
        "    let a = normal[N](k1)\n"
        "    let b = normal[N](k2)\n"
        "    [a, b]\n"
        "}\n",
    ),
)
