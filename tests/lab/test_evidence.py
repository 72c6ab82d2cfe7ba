"""The parts of a split with what the model says: the frames of a run, and every frame left out told."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.importing import import_file
from xfunc_core.errors import ConfigError, DataError
from xfunc_core.lab.evidence import Evidence, gather, needed_rows, split_of
from xfunc_core.predictions import evaluate, predictions
from xfunc_core.training.plan import make_plan
from xfunc_core.training.settings import FinetuneSettings


def documents() -> list[dict]:
    """The bundled r²SCAN documents."""
    file = resources.files("xfunc_core.data") / "bundled" / "xfunc-dft-r2SCAN.jsonl.gz"
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]


@pytest.mark.parametrize("more", [{}, {"train_size": 20, "subset_seed": 3}, {"split_seed": 2, "test_fraction": 0.3}])
def test_parts_are_those_of_a_run(xfunc_dft: Dataset, gathered: Callable[..., Evidence], more: dict[str, float]) -> None:
    found = gathered(**more)
    plan = make_plan(FinetuneSettings("xfunc-dft-r2scan", **more), xfunc_dft)
    for name, rows in plan.split.parts().items():
        part = found.parts[name]
        np.testing.assert_array_equal(part.rows, rows)
        np.testing.assert_array_equal(part.frames.energy_per_atom, xfunc_dft.energy_per_atom[rows])
        np.testing.assert_array_equal(part.frames.composition.toarray(), xfunc_dft.composition[rows])
        np.testing.assert_array_equal(part.frames.model_energy, predictions(xfunc_dft).energy[rows])
    assert found.left_out == ()
    assert found.train.n_materials == len(set(xfunc_dft.table["material_id"].to_numpy()[plan.split.train]))
    held_back = found.held_back(xfunc_dft)
    assert held_back == set(xfunc_dft.table["frame_id"].to_numpy()[np.concatenate([plan.split.validation, plan.split.test])])


def test_frames_dropped_for_one_scheme_are_still_compared(gathered: Callable[..., Evidence]) -> None:
    assert len(gathered(train_size=16, references="lstsq", missing_references="drop").test) == len(gathered(train_size=16).test) == 14


def test_frames_without_energy_or_neighbours_are_left_out_with_the_reason(tmp_path: Path, one_thread: None) -> None:
    some = documents()
    some[3]["energy"] = None
    lonely = some[5]["structure"]
    lonely["sites"] = lonely["sites"][:1]
    lonely["lattice"]["matrix"] = (np.eye(3) * 30).tolist()
    some[5] |= {"forces": some[5]["forces"][:1]}
    (tmp_path / "gaps.jsonl").write_text("\n".join(map(json.dumps, some)))
    dataset, _ = import_file(tmp_path / "gaps.jsonl", tmp_path / "datasets", name="gaps")
    settings = FinetuneSettings("gaps")
    evaluate(dataset, needed_rows(split_of(settings, dataset)))
    found = gather(settings, dataset, predictions(dataset))
    told = {frame["frame_id"]: frame["reason"] for frame in found.left_out}
    assert set(told) == {some[3]["matpes_id"], some[5]["matpes_id"]}
    assert told[some[3]["matpes_id"]] == "it has no energy label"
    assert "no neighbour within 6 Å" in told[some[5]["matpes_id"]]
    assert sum(map(len, found.parts.values())) == len(dataset) - 2


def test_frames_the_model_was_not_asked_about_are_counted(bundled_home: Path, few: Dataset) -> None:
    with pytest.raises(DataError, match="not asked about 18 of the frames"):
        gather(FinetuneSettings("few"), few, predictions(few))


def test_split_that_is_not_possible_is_said_before_the_model_is_asked(elements: Dataset) -> None:
    with pytest.raises(ConfigError, match="part is empty"):
        split_of(FinetuneSettings("matpes-elements-r2scan"), elements)
