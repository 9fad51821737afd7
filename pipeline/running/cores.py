"""How many processor cores there are to use."""

import math
import os
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container, as it sees it: microseconds of each so many, or max


def workers(setting: int | str) -> int:
    """What a setting means: so many, or with "auto" one for each core."""
    return cores() if setting == "auto" else setting


def cores() -> int:
    """Processor cores this process may use: fewer than the machine has under taskset or a container's CPU limit."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = QUOTA.read_text(encoding="utf-8").split()
        return min(allowed, max(1, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # ValueError: max
        return allowed
