"""Portions of batches: which examples a process takes together, and what each counts.

A batch is cut into shards of one length, the last of which may be shorter, or empty, where the
batch does not fill them all. What a shard counts is its share of the examples that count at all, so
the gradient of a batch is the sum of shares times those of its shards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dmc_runtime.data import Source
from dmc_runtime.tables import Table


@dataclass(frozen=True)
class Shard:
    """Examples that are taken together.

    Attributes:
        number: which shard of its batch it is.
        here: which of the examples are not there to fill the batch up.
        share: what part of the batch they are; 0 for one that has nothing that counts.
    """

    number: int
    examples: Table
    here: NDArray[np.bool_]
    share: float


@dataclass(frozen=True)
class Portion:
    """What a process takes of a batch; `here` is about all of the batch."""

    shards: tuple[Shard, ...]
    here: NDArray[np.bool_]


@dataclass(frozen=True)
class Cutter:
    """Cuts batches into `count` shards, of which `taken` are read.

    `masked` says that only examples count that are not there to fill a batch up.
    """

    count: int = 1
    taken: range = range(1)
    masked: bool = False

    def stream(self, source: Source, step: int) -> Iterator[Portion]:
        """The portions of all batches without end, from a step on."""
        for number, batch in enumerate(source.stream(step), step):
            yield self.portion(batch, source.mask(number, len(batch)), source.full)

    def portion(self, batch: Table, here: NDArray[np.bool_], full: int) -> Portion:
        """The portion of a batch; of a full one where it has `full` examples, or that is 0."""
        length = -(-max(full, len(batch)) // self.count)
        counting = here if self.masked else np.ones_like(here)
        shards: list[Shard] = []
        for number in self.taken:
            rows = slice(number * length, (number + 1) * length)
            share = int(counting[rows].sum()) / max(int(counting.sum()), 1)
            there = here[rows]
            if not len(there):
                # All compute as much: what is empty has the first shard in its place, for no share.
                rows = slice(length)
                there = np.zeros_like(here[rows])
            shards.append(Shard(number, batch.part(rows).read(), there, share))
        return Portion(tuple(shards), here)
