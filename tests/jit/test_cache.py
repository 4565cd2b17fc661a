"""The object cache, and what it does when something is wrong with it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dmc.jit.cache import DIRECTORY_VARIABLE, ObjectCache, default_directory, digest
from dmc.jit.engine import Engine
from dmc.jit.target import host, named

NAME = digest("some", "text")
MODULE = "define i32 @answer() { ret i32 42 }"


def entries(cache: ObjectCache) -> list[Path]:
    return sorted(cache.directory.glob("*/*"))


def test_what_is_put_is_found(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path / "deep" / "cache")
    assert cache.get(NAME) is None
    cache.put(NAME, b"content")
    assert cache.get(NAME) == b"content"
    assert ObjectCache(cache.directory).get(NAME) == b"content"
    assert [path.suffix for path in entries(cache)] == [".o"]


def test_names_separate_their_parts() -> None:
    assert digest("ab", "c") != digest("a", "bc")


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:-1] + b"?", lambda _: b""])
def test_a_damaged_entry_is_forgotten(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    cache = ObjectCache(tmp_path)
    cache.put(NAME, b"content")
    (path,) = entries(cache)
    path.write_bytes(damage(path.read_bytes()))
    assert cache.get(NAME) is None
    assert not path.exists()


def test_an_entry_in_the_place_of_another_is_forgotten(tmp_path: Path) -> None:
    cache, other = ObjectCache(tmp_path), digest("another", "text")
    cache.put(NAME, b"content")
    cache.put(other, b"other content")
    os.replace(cache._path(other), cache._path(NAME))
    assert cache.get(NAME) is None
    assert cache.get(other) is None


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path, limit=4000)
    names = [digest(str(i)) for i in range(5)]
    for age, name in enumerate(names[:4]):
        cache.put(name, bytes(1000))
        os.utime(cache._path(name), (age, age))
    assert cache.get(names[0]) is not None  # now the most recently used
    cache.put(names[4], bytes(1000))
    cache.sweep()
    assert [cache.get(name) is not None for name in names] == [True, False, False, True, True]


def test_what_a_killed_process_left_goes(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path)
    cache.put(NAME, b"content")
    folder = cache._path(NAME).parent
    for name, age in (("old", 3600), ("new", 0)):
        unfinished = folder / f"{name}.partial"
        unfinished.write_bytes(b"half")
        os.utime(unfinished, (time.time() - age, time.time() - age))
    ObjectCache(tmp_path).put(digest("another"), b"content")
    assert [path.name for path in folder.glob("*.partial")] == ["new.partial"]


def test_an_unusable_directory_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = ObjectCache(tmp_path / "file" / "cache")
    cache.put(NAME, b"content")
    assert cache.get(NAME) is None
    assert Engine(host(), cache).compile(MODULE)


def test_a_full_disk_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    cache = ObjectCache(tmp_path)
    monkeypatch.setattr(os, "replace", full)
    cache.put(NAME, b"content")
    assert entries(cache) == []


def test_code_that_others_could_have_written_is_not_trusted(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path)
    cache.put(NAME, b"content")
    tmp_path.chmod(0o777)
    assert cache.get(NAME) is None


def test_the_environment_chooses_the_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, "/somewhere")
    assert default_directory() == Path("/somewhere")
    monkeypatch.setenv(DIRECTORY_VARIABLE, "")
    assert default_directory() is None
    monkeypatch.delenv(DIRECTORY_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert default_directory() == Path("/xdg/dmc")


def test_the_engine_compiles_a_module_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ObjectCache(tmp_path)
    first = Engine(host(), cache).compile(MODULE)
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "_generate", None)
        assert Engine(host(), cache).compile(MODULE) == first
    Engine(host(), cache, level=1).compile(MODULE)
    Engine(named("generic"), cache).compile(MODULE)
    Engine(host(), cache).compile(MODULE + "\n")
    assert len(entries(cache)) == 4


def test_the_engine_rebuilds_a_damaged_entry(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path)
    first = Engine(host(), cache).compile(MODULE)
    (path,) = entries(cache)
    path.write_bytes(path.read_bytes()[:-8] + bytes(8))
    assert Engine(host(), cache).compile(MODULE) == first


def test_processes_may_share_a_cache(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from dmc.jit.cache import ObjectCache\n"
        "cache = ObjectCache(Path(sys.argv[1]), limit=50_000)\n"
        "for i in range(300):\n"
        "    name = f'{i % 40:064x}'; content = bytes([i % 40]) * 3000\n"
        "    cache.put(name, content); assert cache.get(name) in (content, None)\n"
        "    if i % 20 == 0: cache.sweep()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
