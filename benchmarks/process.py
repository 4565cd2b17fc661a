"""A worker as the process that started it sees it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.messages import Absent, Message, Turn, decode, encode
from benchmarks.systems import THREADS
from benchmarks.workload import FOLDER, Entry, Precision, System, Workload

ROOT = FOLDER.parent
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Settings:
    """What all workers of a run share: `patience` is how many seconds a reply may take."""

    threads: int
    peers_python: str = sys.executable
    patience: float = 600.0


def environment(settings: Settings, precision: Precision, caches: Path) -> dict[str, str]:
    """The variables of a worker: as many threads as it may use, caches that are empty."""
    threads = str(settings.threads)
    variables = dict(os.environ)
    for name in ("OMP", "MKL", "OPENBLAS", "NUMBA"):
        variables[f"{name}_NUM_THREADS"] = threads
    variables[THREADS] = threads
    variables["JAX_PLATFORMS"] = "cpu"
    variables["JAX_ENABLE_X64"] = str(int(precision is Precision.F64))
    if settings.threads == 1:
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        variables["XLA_FLAGS"] = f"{variables.get('XLA_FLAGS', '')} {flags}".strip()
    variables.pop("JAX_COMPILATION_CACHE_DIR", None)
    for name in ("DMC_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "NUMBA_CACHE_DIR"):
        variables[name] = str(caches / name.lower())
    paths = [str(ROOT), *filter(None, [variables.get("PYTHONPATH")])]
    variables["PYTHONPATH"] = os.pathsep.join(paths)
    return variables


class Worker:
    """A process with one contestant in it. In a session of its own, so that it ends as a whole."""

    def __init__(self, workload: Workload, entry: Entry, settings: Settings, folder: Path) -> None:
        self.entry = entry
        self.outputs = folder / f"{entry.name}.npz"
        self._patience = settings.patience
        self._buffer = b""
        python = sys.executable if entry.system is System.DMC else settings.peers_python
        command = [python, "-m", "benchmarks.worker", workload.name, entry.name, str(self.outputs)]
        self._log = folder / f"{entry.name}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                env=environment(settings, workload.precision, folder / entry.name),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )

    def turn(self, turn: Turn) -> Message:
        """Let it run, and wait for its times."""
        pipe = _open(self._process.stdin)
        try:
            pipe.write(encode(turn).encode())
            pipe.flush()
        except BrokenPipeError:
            return self._ended()
        return self.reply()

    def reply(self) -> Message:
        """Its next message; that it failed, if it ends or takes too long."""
        pipe = _open(self._process.stdout)
        deadline = time.monotonic() + self._patience
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                return Absent("failed", f"no answer in {self._patience:.0f} s")
            if not (chunk := os.read(pipe.fileno(), _CHUNK)):
                return self._ended()
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return decode(line.decode())

    def log(self) -> str:
        """What it wrote to standard error."""
        return self._log.read_text(errors="replace")

    def end(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            # What it did not read before it died is still to be written.
            with contextlib.suppress(BrokenPipeError):
                _open(pipe).close()

    def _ended(self) -> Absent:
        code = self._process.wait()
        last = self.log().strip().splitlines()[-1:]
        return Absent("failed", f"ended with status {code}" + "".join(f": {x}" for x in last))


def _open(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe
