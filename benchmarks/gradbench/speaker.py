"""A process that is spoken to in JSON, a line for each message."""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.workload import Foreign

Message = dict[str, Foreign]


class Silent(Exception):
    """A process has ended, or said nothing for too long; with the end of its complaints."""


class Speaker:
    """A process with `settings` in its environment; used in a `with`, after which it has ended."""

    def __init__(
        self, command: Sequence[str], folder: Path, settings: Mapping[str, str], patience: float
    ) -> None:
        self._patience = patience
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 (closed in `__exit__`)
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
        )
        self._said = bytearray()

    def __enter__(self) -> Speaker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._complaints.close()

    def ask(self, message: Message) -> Message:
        """The line that answers a line. Raises Silent."""
        self.send(message)
        answer = self.read()
        if answer is None:
            raise self._silent()
        return answer

    def send(self, message: Message) -> None:
        """Write one line. Raises Silent for a process that has ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._silent() from None

    def read(self) -> Message | None:
        """The next line; None from a process that has ended well. Raises Silent when none comes."""
        assert self._process.stdout is not None
        descriptor, end = self._process.stdout.fileno(), time.monotonic() + self._patience
        while b"\n" not in self._said:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, end - time.monotonic()))
            more = os.read(descriptor, 1 << 20) if ready else b""
            if ready and not more and self._process.wait(self._patience) == 0:
                return None
            if not more:
                raise self._silent()
            self._said += more
        line, _, rest = bytes(self._said).partition(b"\n")
        self._said = bytearray(rest)
        return json.loads(line)

    def _silent(self) -> Silent:
        self._complaints.seek(0)
        return Silent(self._complaints.read().decode(errors="replace").strip()[-2000:])
