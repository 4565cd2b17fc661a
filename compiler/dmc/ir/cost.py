"""What executing an operation costs, and how long that takes on a machine."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields


@dataclass(frozen=True, slots=True)
class Cost:
    """Work of one execution: floating-point operations and bytes read plus written."""

    flops: int = 0
    bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.flops + other.flops, self.bytes + other.bytes)

    def __mul__(self, times: int) -> Cost:
        return Cost(self.flops * times, self.bytes * times)


@dataclass(frozen=True, slots=True)
class Rates:
    """What one core of a machine does in a second.

    `products_f32` and `products_f64` are floating-point operations in products of matrices,
    `functions_f32` and `functions_f64` those in elementary functions, `cached` and `memory` bytes
    that are read and written, of what a second-level cache holds and of what no cache does.
    `cache` is how many bytes the former is.
    """

    products_f32: float = 64e9
    products_f64: float = 32e9
    functions_f32: float = 16e9
    functions_f64: float = 8e9
    cached: float = 32e9
    memory: float = 8e9
    cache: int = 1 << 19

    def seconds(self, cost: Cost, *, wide: bool, product: bool) -> float:
        """How long a pass over memory takes: what it computes, and what it moves.

        `wide`: it computes in f64; `product`: it sums products.
        """
        narrow_rate = self.products_f32 if product else self.functions_f32
        wide_rate = self.products_f64 if product else self.functions_f64
        computing = cost.flops / (wide_rate if wide else narrow_rate)
        moving = cost.bytes / (self.cached if cost.bytes <= self.cache else self.memory)
        return computing + moving

    @property
    def text(self) -> str:
        """All of it, for `Rates.of`."""
        return " ".join(f"{number:.17g}" for number in astuple(self))

    @staticmethod
    def of(text: str) -> Rates:
        """The rates whose `text` this is. Raises ValueError for any other text."""
        numbers = [float(word) for word in text.split()]
        if len(numbers) != len(fields(Rates)) or min(numbers) <= 0:
            raise ValueError(f"`{text}` are no rates")
        *rates, cache = numbers
        return Rates(*rates, cache=int(cache))


USUAL = Rates()
"""Those of no particular machine."""
