"""Object code on disk, so that a program is compiled once and not in every process.

An entry is named by a hash of all that its content depends on and begins with a checksum of its
name and of the rest, so that an entry in another's place is found out like a damaged one. Entries
are written beside their place and moved there, so readers in other processes see a whole entry or
none. Whatever goes wrong (no permission, full disk, damage) costs time, never an error: the caller
compiles.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from dmc_runtime.files import read_own

DIRECTORY_VARIABLE = "DMC_CACHE_DIR"
DEFAULT_LIMIT = 1 << 30
_MAGIC = b"dmc object 2\n"
_DIGEST_BYTES = hashlib.sha256().digest_size
_WRITES_BETWEEN_SWEEPS = 64
_UNFINISHED = ".partial"
_ABANDONED = 600.0
"""Seconds after which nobody writes an entry any more."""


def default_directory() -> Path | None:
    """`DMC_CACHE_DIR` (empty: no cache), else `dmc` in the user's cache directory."""
    chosen = os.environ.get(DIRECTORY_VARIABLE)
    if chosen is not None:
        return Path(chosen) if chosen else None
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "dmc"
    except RuntimeError:  # a user without a home
        return None


def digest(*parts: str) -> str:
    """A name for what is made from these texts."""
    hasher = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        hasher.update(len(encoded).to_bytes(8, "little"))
        hasher.update(encoded)
    return hasher.hexdigest()


def _checksum(name: str, content: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + content).digest()


@dataclass
class ObjectCache:
    """Entries in `directory`, the least recently used removed beyond `limit` bytes in all."""

    directory: Path
    limit: int = DEFAULT_LIMIT
    _writes: int = field(default=0, init=False)

    def _path(self, name: str) -> Path:
        return self.directory / name[:2] / f"{name[2:]}.o"

    def get(self, name: str) -> bytes | None:
        """The content stored under `name`, or None when there is none or it is damaged."""
        path = self._path(name)
        try:
            if not self._trusted():
                return None
            stored = read_own(path)
        except OSError:
            return None
        header = len(_MAGIC) + _DIGEST_BYTES
        checksum, content = stored[len(_MAGIC) : header], stored[header:]
        if not stored.startswith(_MAGIC) or _checksum(name, content) != checksum:
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return content

    def put(self, name: str, content: bytes) -> None:
        """Store `content` under `name`, if that is possible."""
        path = self._path(name)
        temporary: str | None = None
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._trusted():
                return
            path.parent.mkdir(exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=_UNFINISHED)
            with os.fdopen(handle, "wb") as file:
                file.write(_MAGIC + _checksum(name, content) + content)
            os.replace(temporary, path)
        except OSError:
            if temporary is not None:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
            return
        if self._writes % _WRITES_BETWEEN_SWEEPS == 0:
            self.sweep()
        self._writes += 1

    def _trusted(self) -> bool:
        """Whether nobody else can put code here; what is stored is executed."""
        status = self.directory.stat()
        return status.st_uid == os.geteuid() and not status.st_mode & 0o022

    def sweep(self) -> None:
        """Remove the entries used longest ago until the rest is within nine tenths of the limit.

        What killed processes left unfinished goes, too.
        """
        entries: list[tuple[float, int, Path]] = []
        now = time.time()
        for path in self.directory.glob("*/*"):
            with contextlib.suppress(OSError):
                status = path.stat()
                if path.suffix == _UNFINISHED and now - status.st_mtime > _ABANDONED:
                    path.unlink()
                else:
                    entries.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in entries)
        if total <= self.limit:
            return
        for _, size, path in sorted(entries):
            with contextlib.suppress(OSError):
                path.unlink()
            total -= size
            if total <= 0.9 * self.limit:
                break
