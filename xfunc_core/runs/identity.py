"""Which process is meant: a process id alone is reused, and a dead child keeps its id until it is reaped."""

from __future__ import annotations

import functools
import os
import signal
import socket
import subprocess
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

_DEAD = "ZX"  # zombie, dead


@dataclass(frozen=True)
class Identity:
    """One process, told apart from every other there was or will be.

    Attributes:
        pid: process id.
        started: start time as the system counts it.
        system: boot of the machine and, on Linux, the namespace that the id counts in.
        host: the machine's name, for people.
    """

    pid: int
    started: str
    system: str
    host: str

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """The process that has this id now, or None."""
        found = _look(pid)
        return cls(pid, found[0], _system(), socket.gethostname()) if found else None

    @classmethod
    def from_json(cls, data: Any) -> Identity | None:
        """Read what `to_json` wrote; None if it is something else."""
        types = {"pid": int, "started": str, "system": str, "host": str}
        if not isinstance(data, dict) or any(type(data.get(key)) is not kind for key, kind in types.items()):
            return None
        return cls(**{field.name: data[field.name] for field in fields(cls)})

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return asdict(self)

    def is_alive(self) -> bool | None:
        """Whether the process lives; None if it ran on another machine, before a reboot or in another container."""
        if self.system != _system():
            return None
        found = _look(self.pid)
        return found is not None and found[0] == self.started and found[1] not in _DEAD

    def send(self, number: signal.Signals) -> None:
        """Signal the process, and its whole group if it leads one; nothing happens if it is gone."""
        if not self.is_alive():
            return
        with suppress(ProcessLookupError, PermissionError):
            leads = os.getpgid(self.pid) == self.pid
            (os.killpg if leads else os.kill)(self.pid, number)


def _look(pid: int) -> tuple[str, str] | None:
    """Start time and state letter of a process."""
    if pid <= 0:
        return None
    if not Path("/proc/self/stat").exists():
        return _look_with_ps(pid)
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return after_name[19], after_name[0]
    except (OSError, IndexError):
        return None


def _look_with_ps(pid: int) -> tuple[str, str] | None:
    command = ["ps", "-o", "state=,lstart=", "-p", str(pid)]
    same_for_all = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
    found = subprocess.run(command, capture_output=True, text=True, env=same_for_all).stdout.split(maxsplit=1)
    return (found[1].strip(), found[0][0]) if len(found) == 2 else None


@functools.cache
def _system() -> str:
    with suppress(OSError):
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    with suppress(OSError):
        return subprocess.run(["sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, text=True).stdout.strip()
    return socket.gethostname()
