"""The compiled kernels: built with the compiler of this machine at first use, kept in the user's cache, loaded from there.

Where there is no compiler, or the result does not load, there are no kernels, and the engine computes in plain torch.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
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
    _keep_freed_memory()
    try:
        loaded = Loaded(_found_or_built(), "")
    except (OSError, subprocess.SubprocessError, RuntimeError, ValueError) as error:
        loaded = Loaded(None, f"no compiled kernels ({_first_line(error)}): the engine computes in plain torch, two to three times slower")
        _LOG.warning("%s", loaded.reason)
    return loaded


def _found_or_built() -> ctypes.CDLL:
    """From the user's cache, or compiled into it; where nothing can be written there, compiled for this process alone."""
    compiler = _compiler()
    folder, key = user_cache_path("xfunc") / "kernels", _key(compiler)
    found = _found(folder, key)
    if found is not None:
        return _load(found)
    with _place(folder) as place:
        return _load(_built(compiler, place, key))


def _found(folder: Path, key: str) -> Path | None:
    """A library whose content is still what its name says. Others go: to load a truncated one ends the process."""
    for path in sorted(folder.glob(f"{key}-*.so")):
        if path.name == _name(key, path):
            return path
        with contextlib.suppress(OSError):
            path.unlink()
    return None


def _built(compiler: list[str], folder: Path, key: str) -> Path:
    """The shared library, compiled into a folder; whoever compiles at the same time writes a file as good."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        built = Path(scratch) / "kernels.so"
        command = [*compiler, *FLAGS, *_threads(), "-o", str(built), str(Path(__file__).parent / SOURCES[0])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_TO_COMPILE)
        if done.returncode:
            raise RuntimeError(f"{compiler[0]} failed: {done.stderr.strip() or done.returncode}")
        target = folder / _name(key, built)
        os.replace(built, target)
    return target


@contextlib.contextmanager
def _place(folder: Path) -> Iterator[Path]:
    """Where to compile into: the folder, or else one that goes away again."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        is_writable = os.access(folder, os.W_OK)
    except OSError:
        is_writable = False
    if is_writable:
        yield folder
    else:
        with tempfile.TemporaryDirectory() as own:
            yield Path(own)


def _name(key: str, path: Path) -> str:
    """Of the library at a path: what it was made from, and what it is."""
    return f"{key}-{hashlib.sha256(path.read_bytes()).hexdigest()[:32]}.so"


def _compiler() -> list[str]:
    """The command and its options, as ``CXX`` may hold them."""
    chosen = shlex.split(os.environ.get("CXX", "")) or [name for name in ("g++", "clang++") if shutil.which(name)][:1]
    if not chosen:
        raise RuntimeError("this machine has no C++ compiler: install g++ for speed")
    return chosen


def _key(compiler: list[str]) -> str:
    """Of everything that the library depends on: sources, flags, compiler, processor."""
    version = subprocess.run([*compiler, "--version"], capture_output=True, text=True, timeout=SECONDS_TO_COMPILE).stdout
    parts = [(Path(__file__).parent / name).read_text() for name in SOURCES] + [
        *compiler,
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
