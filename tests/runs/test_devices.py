"""What the machine offers, asked of a stand-in for nvidia-smi that is a real program."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xfunc_core.runs import devices


@pytest.fixture(autouse=True)
def _asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "gpu_ids", devices.gpu_ids.__wrapped__)


def install_nvidia_smi(folder: Path, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf '{says}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("visible", "expected"),
    [(None, ("0", "1")), ("", ()), ("-1", ()), ("1", ("1",)), ("GPU-b, 0", ("GPU-b", "0"))],
)
def test_gpus_are_counted_and_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, expected: tuple[str, ...]) -> None:
    install_nvidia_smi(tmp_path, "GPU 0: H200 (UUID: GPU-a)\\nGPU 1: H200 (UUID: GPU-b)\\n", monkeypatch)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices.gpu_ids() == expected
    assert devices.available_devices() == (["cpu", "cuda"] if expected else ["cpu"])


def test_driver_without_gpu_or_no_driver_is_cpu_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_nvidia_smi(tmp_path, "No devices found.\\n", monkeypatch)
    assert devices.available_devices() == ["cpu"]
    monkeypatch.setenv("PATH", "")
    assert devices.available_devices() == ["cpu"]


@pytest.mark.parametrize(("asked", "slots"), [("", 1), ("3", 3), ("0", 1), ("-2", 1), ("many", 1)])
def test_cpu_slots(monkeypatch: pytest.MonkeyPatch, asked: str, slots: int) -> None:
    monkeypatch.setenv("XFUNC_CPU_SLOTS", asked)
    assert devices.cpu_slots() == slots


def test_threads_fill_the_machine_and_no_more() -> None:
    all_threads = devices.threads_per_slot(1)
    assert all_threads >= 1
    assert devices.threads_per_slot(2) == max(1, all_threads // 2)
    assert devices.threads_per_slot(10**6) == 1
