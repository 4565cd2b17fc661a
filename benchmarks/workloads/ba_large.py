"""Bundle adjustment of the size that GradBench ends with."""

from __future__ import annotations

from benchmarks.workload import Goal, System
from benchmarks.workloads.ba import bundle

WORKLOAD = bundle("ba_large", 204_472, 372, 31_843, Goal(1.0, (System.C,)))
