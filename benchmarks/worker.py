"""`python -m benchmarks.worker WORKLOAD CONTESTANT OUTPUTS`: one contestant, as asked.

Makes the contestant, calls it once, writes what came out to the file OUTPUTS, then takes turns as
lines of standard input request them. Whatever libraries print goes to standard error.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from pathlib import Path
from typing import TextIO

import numpy as np

from benchmarks import systems
from benchmarks.messages import Absent, Message, Ready, Times, Turn, decode, encode
from benchmarks.workload import Contestant, Entry, Foreign, Missing, Workload
from benchmarks.workloads import load

MOST_CALLS = 1000
LONG = 0.5
"""From so many seconds on, a call needs no other to warm up, and one is enough for a turn."""


def main() -> None:
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    name, contestant, outputs = sys.argv[1:4]
    _pin(systems.threads())
    try:
        _serve(load(name), contestant, Path(outputs), replies)
    except Missing as missing:
        _say(replies, Absent("missing", str(missing)))
    except Exception as failure:  # noqa: BLE001 (whatever goes wrong in a contestant is reported)
        traceback.print_exc()
        code = systems.refusal(failure) if contestant == systems.System.DMC.value else None
        why = f"{type(failure).__name__}: {failure}".partition("\n")[0]
        _say(replies, Absent("failed", why) if code is None else Absent("refused", code))


def _serve(workload: Workload, name: str, outputs: Path, replies: TextIO) -> None:
    entry = workload.entry(name)
    systems.start(entry.system)
    before = _resident_bytes()
    _forget_peak()
    contestant, compile_s = _first(workload, entry, outputs)
    contestant.call()
    _forget_peak()
    _say(replies, Ready(compile_s, _predicted(entry)))
    for line in sys.stdin:
        request = decode(line)
        assert isinstance(request, Turn)
        seconds, processor = _turn(contestant, request)
        _say(replies, Times(seconds, processor, max(0, _peak_bytes() - before)))


def _predicted(entry: Entry) -> float | None:
    if entry.system is not systems.System.DMC:
        return None
    from benchmarks import predicted

    return predicted.seconds()


def _first(workload: Workload, entry: Entry, outputs: Path) -> tuple[Contestant, float]:
    """Make and call a contestant; what it holds afterwards is only what it needs."""
    inputs = workload.inputs()
    began = time.perf_counter()
    contestant = entry.make(inputs)
    out = contestant.call()
    seconds = time.perf_counter() - began
    named: dict[str, Foreign] = dict(contestant.outputs(out))
    with outputs.open("wb") as file:
        np.savez(file, **named)
    return contestant, seconds


def _turn(contestant: Contestant, turn: Turn) -> tuple[list[float], list[float]]:
    """Times of calls. The first of a turn warms up; it counts only where calls are long."""
    first = _timed(contestant)
    long = first[0] >= LONG
    calls = [first] if long else []
    fewest = 1 if long else turn.fewest
    ends = time.perf_counter() + turn.seconds
    while len(calls) < fewest or (time.perf_counter() < ends and len(calls) < MOST_CALLS):
        calls.append(_timed(contestant))
    return [passed for passed, _ in calls], [processor for _, processor in calls]


def _timed(contestant: Contestant) -> tuple[float, float]:
    """What is freed after a call is not part of it."""
    began, processor = time.perf_counter(), time.process_time()
    out = contestant.call()
    times = time.perf_counter() - began, time.process_time() - processor
    del out
    return times


def _pin(threads: int) -> None:
    """Stay on the last processors, one for each thread."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


def _say(replies: TextIO, message: Message) -> None:
    replies.write(encode(message))


# memory, as Linux tells it


def _resident_bytes() -> int:
    return _status("VmRSS")


def _peak_bytes() -> int:
    return _status("VmHWM")


def _status(key: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith(key))


def _forget_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


if __name__ == "__main__":
    main()
