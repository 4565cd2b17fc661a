"""Data sets: reading tables of arrays, splitting, and seeded batches.

A data set is a table of named arrays with one leading axis in common. The order of the batches of
an epoch is a pure function of seed and epoch, so a run resumes at any step without replaying. The
arrays may be on the disk: only the examples of a batch are read.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dmc_runtime import keys
from dmc_runtime.readers import load
from dmc_runtime.recipe import Last
from dmc_runtime.tables import Table, data_error, table
from dmc_runtime.trees import Array

__all__ = ["Batches", "Source", "Stream", "Table", "class_weights", "load", "split", "table"]


def split(data: Table, fraction: float, seed: int) -> tuple[Table, Table]:
    """A random training part and a held-out `fraction`, the same for the same seed.

    Raises:
        TrainError: when one of the parts would be empty.
    """
    held_out = round(fraction * len(data))
    if not 0 < held_out < len(data):
        raise data_error(
            f"a held-out fraction of {fraction} of {len(data)} examples leaves a part empty"
        )
    order = keys.permutation(keys.fold_path(keys.key(seed), "split"), len(data))
    return data.view(order[held_out:]), data.view(order[:held_out])


class Source(Protocol):
    """Where the batches of a run come from."""

    @property
    def per_epoch(self) -> int:
        """Batches in an epoch."""
        ...

    @property
    def full(self) -> int:
        """Examples in a full batch; 0 where any number is."""
        ...

    def stream(self, step: int = 0) -> Iterator[Table]:
        """All batches without end, from the step on that is counted from the start of a run.

        What is on the disk is read where it is used.
        """
        ...

    def mask(self, step: int, size: int) -> NDArray[np.bool_]:
        """Which of the `size` examples of the batch of a step are not there to fill it up."""
        ...


@dataclass(frozen=True)
class Batches:
    """The batches of a table, shuffled anew for each epoch.

    Attributes:
        size: examples in a batch, at most those that there are.
        last: what becomes of what is left for the last batch of an epoch; see `Last`.
        shuffle: else every epoch has the order of the table.
    """

    data: Table
    size: int
    seed: int = 0
    shuffle: bool = True
    last: Last = Last.FILL

    def __post_init__(self) -> None:
        if self.size < 1:
            raise data_error(f"a batch of {self.size} examples")
        if self.per_epoch == 0:
            raise data_error(f"no full batch of {self.size} among {len(self.data)} examples")

    @property
    def per_epoch(self) -> int:
        """Batches in an epoch."""
        whole, rest = divmod(len(self.data), self.size)
        return whole + (rest > 0 and self.last is not Last.DROP)

    @property
    def full(self) -> int:
        """Examples in a full batch."""
        return min(self.size, len(self.data))

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The indices of the examples in the order of an epoch."""
        if not self.shuffle:
            return np.arange(len(self.data))
        key = keys.fold(keys.fold_path(keys.key(self.seed), "shuffle"), epoch)
        return keys.permutation(key, len(self.data))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Table]:
        """The batches of an epoch, from batch `start` on."""
        order = self.order(epoch)
        for batch in range(start, self.per_epoch):
            chosen = order[batch * self.size : (batch + 1) * self.size]
            missing = self.full - len(chosen)
            if missing and self.last is not Last.SHORT:
                chosen = np.concatenate([chosen, order[:missing]])
            yield self.data.view(chosen)

    def mask(self, step: int, size: int) -> NDArray[np.bool_]:
        """Which of the `size` examples of the batch of a step are not there to fill it up."""
        return np.arange(size) < len(self.data) - step % self.per_epoch * self.size

    def stream(self, step: int = 0) -> Iterator[Table]:
        """All batches without end, from the step on that is counted from the start of a run."""
        first, start = divmod(step, self.per_epoch)
        for epoch in itertools.count(first):
            yield from self.epoch(epoch, start if epoch == first else 0)


Batch: TypeAlias = Mapping[str, Array]


@dataclass(frozen=True)
class Stream:
    """Batches from an iterable, which is gone through again for each epoch.

    Going on at a step skips those before it. `TrainError` when an iterator that cannot start again
    ends before the run does.
    """

    batches: Iterable[Batch]
    per_epoch: int
    full = 0

    @classmethod
    def of(cls, batches: Iterable[Batch], epoch: int) -> Stream:
        """`epoch` batches are an epoch where the iterable does not tell its length."""
        length = len(batches) if isinstance(batches, Sized) else epoch
        if length < 1:
            raise data_error("batches without a length: say in `data.epoch` how many are an epoch")
        return cls(batches, length)

    def stream(self, step: int = 0) -> Iterator[Table]:
        """All batches without end, from the step on that is counted from the start of a run."""
        number = 0
        while True:
            before = number
            for batch in self.batches:
                if number >= step:
                    yield table(**batch)
                number += 1
            if number == before:
                raise data_error(f"the batches ended after {number}, before the run did")

    def mask(self, step: int, size: int) -> NDArray[np.bool_]:
        """Streams fill nothing up."""
        del step
        return np.ones(size, bool)


def class_weights(labels: Array) -> NDArray[np.float64]:
    """A weight for each class 0, 1, …: its share if all were as frequent, by the share it has."""
    counts = np.bincount(labels.reshape(-1))
    if not counts.all():
        raise data_error(
            f"no example of class {int(counts.argmin())}, whose weight would be infinite"
        )
    return labels.size / (len(counts) * counts)
