"""What this machine can run on, asked without torch."""

from __future__ import annotations

import functools
import os
import subprocess

_PATIENCE = 10.0


@functools.cache
def gpu_ids() -> tuple[str, ...]:
    """The GPUs that runs may use, as CUDA_VISIBLE_DEVICES names them; the variable limits them if it is set."""
    try:
        found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=_PATIENCE).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    present = [line for line in found.splitlines() if line.startswith("GPU ")]
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is None or not present:
        return tuple(str(number) for number in range(len(present)))
    return tuple(name for part in allowed.split(",") if (name := part.strip()) and name not in ("-1", "NoDevFiles"))


def available_devices() -> list[str]:
    """The devices to choose from, the fastest last: cpu, and cuda where there is a GPU."""
    return ["cpu", "cuda"] if gpu_ids() else ["cpu"]


def cpu_slots() -> int:
    """How many runs may use the CPU at once: ``$XFUNC_CPU_SLOTS``, or one."""
    asked = os.environ.get("XFUNC_CPU_SLOTS", "").strip()
    return max(1, int(asked)) if asked.isdecimal() else 1


def threads_per_slot(slots: int) -> int:
    """Threads for each of this many runs, so that together they fill the machine and no more."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, usable // slots)
