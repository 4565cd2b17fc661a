"""How many processors and how much memory this process may use."""

from __future__ import annotations

import math
import os
import resource
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def available(cgroups: Path = _CGROUPS) -> int:
    """Processors in the affinity mask, or fewer if a control group grants less time. At least 1."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    quota = _quota(cgroups)
    return max(1, count if quota is None else min(count, math.ceil(quota)))


def memory(cgroups: Path = _CGROUPS) -> int:
    """Bytes of the machine, or fewer if a control group or a limit of the process grants less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for kind in (resource.RLIMIT_DATA, resource.RLIMIT_AS):
        bound, _ = resource.getrlimit(kind)
        total = total if bound == resource.RLIM_INFINITY else min(total, bound)
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            return min(total, int((cgroups / name).read_text()))
        except (OSError, ValueError):
            pass
    return total


def unused_memory(cgroups: Path = _CGROUPS, memory_info: Path = Path("/proc/meminfo")) -> int:
    """Bytes that this process could still be given, as far as can be told."""
    found = memory(cgroups)
    try:
        lines = memory_info.read_text().splitlines()
        (line,) = (line for line in lines if line.startswith("MemAvailable:"))
        found = min(found, int(line.split()[1]) << 10)
        statistics = dict(
            line.split() for line in (cgroups / "memory.stat").read_text().splitlines()
        )
        used = int((cgroups / "memory.current").read_text()) - int(statistics["inactive_file"])
        found = min(found, memory(cgroups) - used)
    except (OSError, ValueError, KeyError):
        pass
    return max(found, 0)


def _quota(cgroups: Path) -> float | None:
    """Processors' worth of time granted by a control group, version 2 or 1."""
    try:
        limit, period = (cgroups / "cpu.max").read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        pass
    try:
        limit_v1 = int((cgroups / "cpu/cpu.cfs_quota_us").read_text())
        period_v1 = int((cgroups / "cpu/cpu.cfs_period_us").read_text())
        return limit_v1 / period_v1 if limit_v1 > 0 and period_v1 > 0 else None
    except (OSError, ValueError):
        return None
