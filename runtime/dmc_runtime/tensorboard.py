"""Metrics as TensorBoard reads them: event files, written without TensorBoard.

The file is a sequence of records `length (u64), masked CRC-32C of it, data, masked CRC-32C of it`,
little-endian (the TFRecord format); the data of each is a protocol buffer `Event` with a wall time,
a step and scalars. See tensorboard/compat/proto/event.proto and summary.proto.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from pathlib import Path

from dmc_runtime.files import writing

_POLYNOMIAL = 0x82F63B78


def _table() -> tuple[int, ...]:
    entries: list[int] = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        entries.append(value)
    return tuple(entries)


_CRC = _table()


def crc32c(data: bytes) -> int:
    """The checksum of Castagnoli, as in RFC 3720."""
    value = 0xFFFF_FFFF
    for byte in data:
        value = value >> 8 ^ _CRC[(value ^ byte) & 0xFF]
    return value ^ 0xFFFF_FFFF


class EventFile:
    """An event file in a folder; a run that goes on starts another one, as TensorBoard expects."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"events.out.tfevents.{time.time_ns()}"
        with writing(self._path):
            self._file = self._path.open("wb")
        self._write(_double(1, time.time()) + _text(3, b"brain.Event:2"))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Adds values of a step. Raises TrainError (`train.output`) on a full disk."""
        summary = b"".join(
            _text(1, _text(1, name.encode()) + _field(2, 5) + struct.pack("<f", value))
            for name, value in values.items()
        )
        event = _double(1, time.time()) + _field(2, 0) + _varint(step) + _text(5, summary)
        self._write(event)

    def close(self) -> None:
        """Writes what is left."""
        with writing(self._path):
            self._file.close()

    def _write(self, data: bytes) -> None:
        length = struct.pack("<Q", len(data))
        with writing(self._path):
            self._file.write(length + _masked(length) + data + _masked(data))


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFF_FFFF)


def _field(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _double(number: int, value: float) -> bytes:
    return _field(number, 1) + struct.pack("<d", value)


def _text(number: int, data: bytes) -> bytes:
    return _field(number, 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    parts: list[int] = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])
