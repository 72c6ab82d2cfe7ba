"""The compiled kernels: built with the compiler of this machine at first use, kept in the user's cache, loaded from there.

Where there is no compiler, or the result does not load, there are no kernels, and the engine computes in plain torch.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from platformdirs import user_cache_path

SOURCES = ("kernels.cpp", "blocks.h", "rows.h")
FLAGS = (
    "-std=c++17",
    "-O3",
    "-march=native",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-fPIC",
    "-fopenmp",
    "-shared",
)
"""No -ffast-math: it would let NaN pass for numbers, and change the rounding of the whole process."""
SECONDS_TO_COMPILE = 300
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""From malloc.h."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """The kernels, or why there are none.

    Attributes:
        library: loaded kernels, or None.
        reason: in words, for the user; empty if they are there.
    """

    library: ctypes.CDLL | None
    reason: str


@functools.cache
def kernels() -> Loaded:
    """Load the kernels, compiling them if this machine has not yet; logs once if there are none."""
    try:
        loaded = Loaded(_load(_built()), "")
    except (OSError, subprocess.SubprocessError, RuntimeError) as error:
        loaded = Loaded(None, f"no compiled kernels ({_first_line(error)}): the engine computes in plain torch, two to three times slower")
        _LOG.warning("%s", loaded.reason)
    return loaded


def _built() -> Path:
    """The shared library, compiled unless the cache holds it; whoever compiles at the same time writes the same file."""
    compiler = _compiler()
    folder = user_cache_path("xfunc") / "kernels"
    target = folder / f"{_key(compiler)}.so"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            built = Path(scratch) / target.name
            command = [compiler, *FLAGS, *_threads(), "-o", str(built), str(Path(__file__).parent / SOURCES[0])]
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_TO_COMPILE)
            if done.returncode:
                raise RuntimeError(f"{compiler} failed: {done.stderr.strip() or done.returncode}")
            os.replace(built, target)
    return target


def _compiler() -> str:
    chosen = os.environ.get("CXX") or next((name for name in ("g++", "clang++") if shutil.which(name)), None)
    if chosen is None:
        raise RuntimeError("this machine has no C++ compiler: install g++ for speed")
    return chosen


def _key(compiler: str) -> str:
    """Of everything that the library depends on: sources, flags, compiler, processor."""
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, timeout=SECONDS_TO_COMPILE).stdout
    parts = [(Path(__file__).parent / name).read_text() for name in SOURCES] + [
        *FLAGS,
        *_threads(),
        version,
        platform.machine(),
        _processor(),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _processor() -> str:
    """What -march=native looks at, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return "\n".join(sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))}))


def _threads() -> list[str]:
    """Torch's own OpenMP runtime, if it brings one: two in a process would keep two sets of threads busy."""
    return [str(path) for path in sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))[:1]]


def _load(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    _keep_freed_memory()
    for name in ("forward", "backward", "double_backward"):
        for kind in ("float", "double"):
            getattr(library, f"{name}_{kind}").argtypes = [ctypes.c_void_p, ctypes.c_int]
            getattr(library, f"{name}_{kind}").restype = None
    return library


def _keep_freed_memory() -> None:
    """Let the allocator of glibc keep what is freed: a step needs the same gigabyte again, and asking costs a tenth of it."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_MMAP_THRESHOLD, 2**30)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
