"""`python -m benchmarks.profile WORKLOAD`: in which kernels dmc's processor time goes.

Samples a process by `perf` and names what it finds by the symbols of the generated code; needs
`perf` and `nm`. Other programs hardly disturb it, since only the process's own time is sampled.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.predicted import by_kernel
from benchmarks.systems import THREADS, start
from benchmarks.workload import Contestant, System
from benchmarks.workloads import LARGE, NAMES, load
from dmc.driver import Compilation
from dmc.jit.cache import DIRECTORY_VARIABLE
from dmc.jit.engine import Code, default_engine

FREQUENCY = 4000
TASK = re.compile(r'@"(dmc\.task\.\d+)"')
DEFINED = re.compile(r'^define .*?@"([^"]+)"')


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("workload", choices=[*NAMES, *LARGE])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=4.0, help="how long to call it")
    parser.add_argument("--lines", type=int, default=20, help="how many symbols to show")
    parser.add_argument("--predicted", action="store_true", help="show what the cost model says")
    arguments = parser.parse_args()
    if shutil.which("perf") is None or shutil.which("nm") is None:
        sys.exit("perf and nm are needed")
    os.environ[THREADS] = str(arguments.threads)
    os.environ[DIRECTORY_VARIABLE] = ""
    start(System.DMC)
    default_engine().parts = 1  # where an object is, is told by the entry in it
    workload = load(arguments.workload)
    contestant = workload.entry(System.DMC.value).make(workload.inputs())
    contestant.call()
    if arguments.predicted:
        _show_predicted(arguments.lines)
    name_code(Path(tempfile.gettempdir()) / f"perf-{os.getpid()}.map")
    samples, calls, seconds = sample(contestant, arguments.seconds)
    total = samples.total()
    print(f"{workload.name}: {1e3 * seconds / calls:.3f} ms of processor time a call")
    for symbol, count in samples.most_common(arguments.lines):
        share = count / total
        print(f"{100 * share:5.1f} %  {1e3 * share * seconds / calls:9.3f} ms  {symbol}")


def _show_predicted(lines: int) -> None:
    """The kernels that take the longest by the cost model, with their lines in the source."""
    kernels = by_kernel()
    total = sum(each.nanoseconds for each in kernels)
    print(f"predicted: {total / 1e6:.3f} ms of processor time a call")
    for each in kernels[:lines]:
        share, time = each.nanoseconds / total, each.nanoseconds / 1e6
        print(f"{100 * share:5.1f} %  {time:9.3f} ms  {each.runs} × {each.op!r}")


def name_code(path: Path) -> None:
    """Write where each function of the loaded code is, in the form that perf reads."""
    with tempfile.TemporaryDirectory() as folder, path.open("w") as file:
        for code in (found for found in gc.get_objects() if isinstance(found, Code)):
            owners = _owners(code)
            for number, text in enumerate(code.objects):
                made = Path(folder) / f"{number}.o"
                made.write_bytes(text)
                file.writelines(_lines(made, code.addresses, owners))


def _owners(code: Code) -> dict[str, str]:
    """Of each parallel task the function that starts it; programs number their own."""
    owners: dict[str, str] = {}
    for compilation in (found for found in gc.get_objects() if isinstance(found, Compilation)):
        lines = compilation.llvm_text.splitlines()
        defined = {found[1] for line in lines if (found := DEFINED.match(line))}
        if defined.isdisjoint(code.addresses):
            continue
        current = ""
        for line in lines:
            if defined := DEFINED.match(line):
                current = defined[1]
            elif task := TASK.search(line):
                owners[task[1]] = current
    return owners


def _lines(path: Path, addresses: dict[str, int], owners: dict[str, str]) -> list[str]:
    """One object's functions; they all move as far as the one whose address is known."""
    done = subprocess.run(["nm", "-S", str(path)], capture_output=True, text=True, check=True)
    fields = [line.split(maxsplit=3) for line in done.stdout.splitlines()]
    functions = {f[3]: (int(f[0], 16), int(f[1], 16)) for f in fields if f[2:3] in (["t"], ["T"])}
    moved = [addresses[name] - at for name, (at, _) in functions.items() if name in addresses]
    return [
        f"{moved[0] + at:x} {size:x} {owners.get(name, name)}\n"
        for name, (at, size) in functions.items()
        if moved
    ]


def sample(contestant: Contestant, seconds: float) -> tuple[Counter[str], int, float]:
    """Samples by symbol, the number of calls, and the processor time of all of them."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "perf.data"
        command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(FREQUENCY)]
        recording = subprocess.Popen([*command, "-o", str(data), "-p", str(os.getpid())])
        time.sleep(0.5)
        calls, began, ends = 0, time.process_time(), time.perf_counter() + seconds
        while time.perf_counter() < ends:
            contestant.call()
            calls += 1
        spent = time.process_time() - began
        recording.send_signal(signal.SIGINT)
        recording.wait()
        script = ["perf", "script", "-i", str(data), "-F", "ip,sym"]
        lines = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    symbols = (" ".join(line.split()[1:]) for line in lines.splitlines())
    return Counter(symbol for symbol in symbols if symbol), calls, spent


if __name__ == "__main__":
    main()
