"""How many processor cores there are to use."""

import os


def cores() -> int:
    """Processor cores this process may use, which is fewer than the machine has in a container or under taskset."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
