"""Files that a run writes, and why one could not be."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from dmc_runtime.errors import TrainCode, TrainError

__all__ = ["discard_unfinished", "is_full", "read_own", "reason", "replace", "write", "writing"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_full(error: OSError) -> bool:
    """Whether there was no room."""
    return error.errno in _FULL


def reason(error: OSError) -> str:
    """What went wrong, in lower case."""
    return "the disk is full" if is_full(error) else (error.strerror or str(error)).lower()


@contextmanager
def writing(path: Path) -> Generator[None]:
    """Raises TrainError (`train.output`) where the file at `path` cannot be written."""
    try:
        yield
    except OSError as error:
        message = f"cannot write `{path}`: {reason(error)}"
        raise TrainError(TrainCode.OUTPUT, message) from error


def replace(target: Path, data: bytes) -> None:
    """Writes a file beside its target, syncs it, and renames it over the target.

    The file beside it has a name of its own for each target. What a killed process leaves there the
    next one writes over; who comes second waits for the first. Raises OSError.
    """
    unfinished = _unfinished(target)
    handle = _locked(unfinished)
    try:
        os.ftruncate(handle, 0)
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
        os.fchmod(handle, _mode(target))
        os.fsync(handle)
        os.replace(unfinished, target)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise
    finally:
        os.close(handle)
    _sync_directory(target.parent)


def write(target: Path, data: bytes) -> None:
    """Writes what a user asked for: all of it or nothing. Raises OSError that names the target.

    What is no ordinary file, such as a device or a pipe, is written to and not replaced.
    """
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(data)
        else:
            replace(target.resolve(), data)
    except OSError as error:
        raise OSError(error.errno, reason(error), str(target)) from error


def read_own(path: Path) -> bytes:
    """The content of a file of this user's, not of what else may stand in its place.

    Raises OSError; nothing is waited for, as it would be where a pipe has that name.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise OSError(errno.EACCES, "not a file of this user's", str(path))
        return file.read()


def discard_unfinished(target: Path) -> None:
    """Removes what a killed process left of a new content of `target`, unless one writes it now."""
    unfinished = _unfinished(target)
    with suppress(OSError):
        handle = os.open(unfinished, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unfinished.unlink()
        finally:
            os.close(handle)


def _unfinished(target: Path) -> Path:
    if not target.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    return target.with_name(f".{target.name}.unfinished")


def _locked(path: Path) -> int:
    """A descriptor of the file at `path`, made if it is not there, that nobody else writes to."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            # Whoever had it may have renamed it meanwhile: then it is the target now.
            if os.path.samestat(os.fstat(handle), os.lstat(path)):
                return handle
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _mode(target: Path) -> int:
    """The permissions that the file has, or that a new file would get."""
    with suppress(FileNotFoundError):
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _sync_directory(directory: Path) -> None:
    with suppress(OSError):  # some file systems cannot; the rename itself has happened
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
