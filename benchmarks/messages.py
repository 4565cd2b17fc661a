"""What a worker and the process that started it tell each other: a line of JSON each."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Turn:
    """Call for `seconds`, at least `fewest` times: the request that begins a turn."""

    seconds: float
    fewest: int = 3


@dataclass(frozen=True)
class Ready:
    """The first call is done; it took `compile_s` from loading the program on.

    `predicted_s` is what the cost model says of a call on one thread, where there is one.
    """

    compile_s: float
    predicted_s: float | None = None


@dataclass(frozen=True)
class Times:
    """Seconds of each call of a turn: that passed, and of all processors together.

    `peak_bytes` is the most memory that was resident, less what was before the first call.
    """

    seconds: list[float]
    processor: list[float]
    peak_bytes: int


@dataclass(frozen=True)
class Absent:
    """The contestant will not run, and why: `missing`, `refused` or `failed`."""

    kind: str
    why: str


Message: TypeAlias = Turn | Ready | Times | Absent
_KINDS = {kind.__name__: kind for kind in (Turn, Ready, Times, Absent)}


def encode(message: Message) -> str:
    return json.dumps({"message": type(message).__name__, **asdict(message)}) + "\n"


def decode(line: str) -> Message:
    fields = json.loads(line)
    return _KINDS[fields.pop("message")](**fields)
