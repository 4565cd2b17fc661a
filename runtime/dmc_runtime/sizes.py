"""Amounts of memory as people write and read them: `256MB`, `1.5 GiB`."""

from __future__ import annotations

import re

UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")
_POWERS = "kmgtp"
_TEXT = re.compile(r"(?P<number>[0-9][0-9_]*(\.[0-9]+)?)\s*(?P<unit>[A-Za-z]*)")


def shown_bytes(count: int) -> str:
    """`count` bytes in the largest unit of which there is one."""
    amount, unit = float(count), 0
    while amount >= 1024 and unit + 1 < len(UNITS):
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.4g} {UNITS[unit]}"


def parse_bytes(text: str) -> int:
    """The bytes that `256MB` (millions), `256MiB` (2²⁰ each), `64kB` or `4096` are.

    Raises ValueError, saying what to write.
    """
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise ValueError('write a number and a unit: "256MB", "1.5GiB"')
    unit = match["unit"]
    if unit.endswith("b") and unit.lower() not in ("b", ""):
        raise ValueError(f'`{unit}` is bits; write "{match["number"]}{unit[:-1].upper()}B"')
    name = unit.lower().removesuffix("b").removesuffix("yte").removesuffix("ytes")
    binary = name.endswith("i")
    prefix = name.removesuffix("i")
    if unit.lower() in ("bytes", "byte"):
        prefix = ""
    if len(prefix) > 1 or (prefix and prefix not in _POWERS) or (binary and not prefix):
        raise ValueError(
            f"there is no unit `{unit}`; there are B, kB, MB, GB, TB and KiB, MiB, GiB"
        )
    power = _POWERS.index(prefix) + 1 if prefix else 0
    factor = (1024 if binary else 1000) ** power
    count = round(float(match["number"].replace("_", "")) * factor)
    if count < 1:
        raise ValueError('it is at least one byte, as in "256MB"')
    return count
