"""What a run will do, worked out beforehand."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.library import open_dataset
from xfunc_core.elements import SYMBOLS
from xfunc_core.errors import ConfigError
from xfunc_core.quantities import Functional
from xfunc_core.references.missing import without_reference
from xfunc_core.references.published import atomref
from xfunc_core.references.scheme import Scheme
from xfunc_core.references.tables import TableFormat, write_table
from xfunc_core.training.plan import make_plan
from xfunc_core.training.settings import FinetuneSettings

PARTS = ("train", "validation", "test")


@pytest.mark.parametrize("train_size", [None, 8])
def test_no_material_is_in_two_parts(xfunc_dft: Dataset, train_size: int | None) -> None:
    plan = make_plan(FinetuneSettings("xfunc-dft-r2scan", train_size=train_size), xfunc_dft)
    materials = [set(xfunc_dft.table["material_id"].iloc[getattr(plan.split, part)]) for part in PARTS]
    assert not (materials[0] & materials[1] or materials[0] & materials[2] or materials[1] & materials[2])
    rows = np.concatenate([getattr(plan.split, part) for part in PARTS])
    assert len(rows) == len(set(rows.tolist()))
    if train_size is None:
        assert len(rows) == len(xfunc_dft)


def test_counts_are_those_of_the_frames(xfunc_dft: Dataset) -> None:
    plan = make_plan(FinetuneSettings("xfunc-dft-r2scan", train_size=9, batch_size=4, epochs=7), xfunc_dft)
    train, test = plan.split.train, plan.split.test
    symbols = [set(xfunc_dft.structure(row).symbol_set) for row in range(len(xfunc_dft))]
    seen = set().union(*(symbols[row] for row in train))
    lacking = [symbols[row] - seen for row in test]
    assert plan.n_elements == len(seen)
    assert set(plan.uncovered) == set().union(*lacking)
    assert plan.n_test_uncovered == sum(map(bool, lacking)) > 0
    assert plan.steps_per_epoch == math.ceil(len(train) / 4)
    assert plan.total_steps == 7 * plan.steps_per_epoch
    assert plan.atoms_per_epoch == sum(len(xfunc_dft.structure(row)) for row in train)
    assert plan.rank == np.linalg.matrix_rank(xfunc_dft.composition[train])
    assert plan.n_pool > len(train)


def test_plan_is_the_same_each_time_and_another_for_another_seed(few: Dataset) -> None:
    first, again, other = (make_plan(FinetuneSettings("few", split_seed=seed), few).to_json(few) for seed in (0, 0, 1))
    assert first == again
    assert first["test"] != other["test"]
    assert set(first) == set(PARTS)
    assert set(first["test"]) <= set(few.table["frame_id"])


def test_the_seed_of_training_moves_no_frame(few: Dataset) -> None:
    assert make_plan(FinetuneSettings("few", seed=5), few).to_json(few) == make_plan(FinetuneSettings("few"), few).to_json(few)


def test_validation_and_test_do_not_depend_on_the_subset(few: Dataset) -> None:
    plans = [make_plan(FinetuneSettings("few", train_size=size, subset_seed=seed), few) for size, seed in ((4, 0), (8, 1), (None, 2))]
    for plan in plans:
        np.testing.assert_array_equal(plan.split.test, plans[0].split.test)
        np.testing.assert_array_equal(plan.split.validation, plans[0].split.validation)


def test_warnings_say_what_a_colleague_would(xfunc_dft: Dataset) -> None:
    settings = FinetuneSettings("xfunc-dft-r2scan", train_size=9, epochs=2)
    plan = make_plan(settings, xfunc_dft)
    said = plan.warnings(settings)
    assert any(f"{plan.n_test_uncovered} test frames hold elements that no training frame has" in s for s in said)
    assert any(f"{plan.n_elements - plan.rank} stay open" in s for s in said)
    assert any(f"Only {plan.total_steps} optimiser steps" in s for s in said)
    assert not any("stay open" in s for s in plan.warnings(FinetuneSettings("xfunc-dft-r2scan", method="M3")))


@pytest.mark.parametrize("train_size", [None, 16])
@pytest.mark.parametrize(
    "chosen",
    [
        {"references": "isolated-atoms"},
        {"references": "elemental-solids"},
        {"references": "delta-gauge"},
        {"references": "ridge-to-prior"},
        {"references": "trainable", "reference_start": "delta-gauge"},
        {"references": "table", "reference_table": write_table(atomref("r2scan"), TableFormat.MACE), "reference_table_name": "chgnet.txt"},
    ],
)
def test_numbers_of_vasp_are_warned_about_before_a_run_on_the_scale_of_gpaw(
    bundled_home: Path, xfunc_dft: Dataset, chosen: dict[str, str], train_size: int | None
) -> None:
    settings = FinetuneSettings("xfunc-dft-r2scan", train_size=train_size, **chosen)
    [said] = [s for s in make_plan(settings, xfunc_dft).warnings(settings) if "energy scale" in s]
    assert "do not fit the energy scale of these data (another code" in said
    assert ("chgnet.txt" in said) == (chosen["references"] == "table")
    if chosen["references"] != "table":  # GPAW counts from PBE atoms, as VASP does
        pbe = open_dataset(bundled_home / "datasets", "xfunc-dft-pbe")
        assert not any("energy scale" in s for s in make_plan(replace(settings, dataset="xfunc-dft-pbe"), pbe).warnings(settings))


@pytest.mark.parametrize("references", ["residual-smooth", "lstsq", "none"])
def test_schemes_that_bring_nothing_from_elsewhere_are_not_warned_about(xfunc_dft: Dataset, references: str) -> None:
    plan = make_plan(FinetuneSettings("xfunc-dft-r2scan", references=references), xfunc_dft)
    assert plan.scale is None
    kept = make_plan(FinetuneSettings("xfunc-dft-r2scan", method="M3", references="delta-gauge"), xfunc_dft)
    assert kept.scale is None  # M3 takes none of it


def test_subset_larger_than_training_is_refused(few: Dataset) -> None:
    with pytest.raises(ConfigError, match="A subset of 19 frames is not possible: training has"):
        make_plan(FinetuneSettings("few", train_size=19), few)


# --- elements without a reference -------------------------------------------------------------


def lacking(dataset: Dataset, settings: FinetuneSettings) -> tuple[set[str], dict[str, list[str]]]:
    """Elements that no training frame has, and the validation and test frames that hold them, from the structures."""
    split = make_plan(settings, dataset).split
    ids = dataset.table["frame_id"].tolist()
    symbols = {row: set(dataset.structure(row).symbol_set) for row in range(len(dataset))}
    seen = set().union(*(symbols[row] for row in split.train))
    frames = {part: [ids[row] for row in getattr(split, part) if symbols[row] - seen] for part in ("validation", "test")}
    return set().union(*(symbols[row] - seen for part in ("validation", "test") for row in getattr(split, part))), frames


SMALL = FinetuneSettings("xfunc-dft-r2scan", train_size=9)


def test_by_default_every_frame_stays_and_the_elements_are_named(xfunc_dft: Dataset) -> None:
    missing, frames = lacking(xfunc_dft, SMALL)
    plan = make_plan(SMALL, xfunc_dft)
    assert missing and set(plan.missing) == missing
    assert plan.dropped == ()
    assert set(frames["test"]) <= set(plan.to_json(xfunc_dft)["test"])


def test_run_is_refused_where_every_element_must_have_a_reference(xfunc_dft: Dataset) -> None:
    missing, frames = lacking(xfunc_dft, SMALL)
    with pytest.raises(
        ConfigError, match=f"no reference energy, and {len(frames['validation'] + frames['test'])} frames hold them"
    ) as refused:
        make_plan(replace(SMALL, missing_references="fail"), xfunc_dft)
    assert all(symbol in str(refused.value) for symbol in missing)


def test_dropped_frames_are_those_with_such_elements_each_with_its_reason(xfunc_dft: Dataset) -> None:
    _, frames = lacking(xfunc_dft, SMALL)
    plan, before = make_plan(replace(SMALL, missing_references="drop"), xfunc_dft), make_plan(SMALL, xfunc_dft)
    assert [frame["frame_id"] for frame in plan.dropped] == frames["validation"] + frames["test"]
    assert all(re.fullmatch(r"“The model's residual, smooth in Z” gives [A-Z].* no reference energy", frame["reason"]) for frame in plan.dropped)
    for part in PARTS:
        kept = [i for i in before.to_json(xfunc_dft)[part] if i not in {frame["frame_id"] for frame in plan.dropped}]
        assert plan.to_json(xfunc_dft)[part] == kept
    assert (plan.uncovered, plan.n_test_uncovered, plan.n_pool) == ((), 0, before.n_pool)
    assert any(f"{len(plan.dropped)} frames are left out" in s for s in plan.warnings(SMALL))


def test_elements_a_table_lacks_are_missing_though_training_has_them(xfunc_dft: Dataset, elements: Dataset) -> None:
    for references in ("isolated-atoms", "elemental-solids", "delta-gauge"):
        assert make_plan(replace(SMALL, references=references), xfunc_dft).missing == ()  # MatPES has 89 elements
    assert make_plan(replace(SMALL, references="none"), xfunc_dft).missing == ()
    own = without_reference(Scheme.ISOLATED_ATOMS, xfunc_dft.composition, Functional.R2SCAN, np.where(np.arange(94) == 7, -1.9, np.nan))
    assert own.sum() == 93 and not own[7]
    assert [SYMBOLS[i] for i in np.flatnonzero(without_reference(Scheme.KEEP, elements.composition, Functional.PBE))] == [
        "Po",
        "At",
        "Rn",
        "Fr",
        "Ra",
    ]


def test_elements_that_a_brought_table_lacks_are_named_and_dropped(xfunc_dft: Dataset) -> None:
    settings = replace(SMALL, references="table", reference_table='{"O": -9.5, "H": -3.5}', missing_references="drop")
    with pytest.raises(ConfigError, match="part holds an element without a reference energy"):
        make_plan(settings, xfunc_dft)
    plan = make_plan(replace(settings, missing_references="prior"), xfunc_dft)
    before = make_plan(SMALL, xfunc_dft)
    rows = np.concatenate([getattr(before.split, part) for part in PARTS])
    held = set().union(*(xfunc_dft.structure(row).symbol_set for row in rows))
    assert set(plan.missing) == held - {"O", "H"} != set()


def test_part_that_would_be_empty_is_refused(few: Dataset) -> None:
    settings = FinetuneSettings("few", train_size=1, missing_references="drop")
    with pytest.raises(ConfigError, match="Every frame of the (validation|test) part holds an element without a reference energy"):
        make_plan(settings, few)


def test_table_that_knows_held_back_frames_leaks(xfunc_dft) -> None:
    settings = replace(SMALL, references="table", reference_table=write_table(atomref("r2scan"), TableFormat.MACE))
    parts = make_plan(settings, xfunc_dft).to_json(xfunc_dft)
    known = {*parts["train"], *parts["test"][:2], parts["validation"][0], "elsewhere"}
    plan = make_plan(settings, xfunc_dft, known)
    assert plan.n_leaked == 3
    n = len(parts["validation"]) + len(parts["test"])
    assert any(f"was fitted on 3 of the {n} validation and test frames (leak)" in said for said in plan.warnings(settings))
    assert make_plan(settings, xfunc_dft, parts["train"]).n_leaked == 0
    assert make_plan(replace(settings, references="lstsq"), xfunc_dft, known).n_leaked == 0  # the table does not enter
