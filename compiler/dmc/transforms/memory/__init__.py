"""Planning where tensors lie: liveness, shared buffers, layout of the arena, and its replay.

`dmc.transforms.plan_memory` is the pass; `place_of` and `report` read what it recorded.
"""

from dmc.transforms.memory.place import Kind, Place, place_of
from dmc.transforms.memory.replay import PlanError, replay
from dmc.transforms.memory.report import Entry, MemoryPlan, report

__all__ = ["Entry", "Kind", "MemoryPlan", "Place", "PlanError", "place_of", "replay", "report"]
