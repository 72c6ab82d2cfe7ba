"""Settings: what is refused, by name, and that nothing is lost on the way through a file."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xfunc_core.errors import ConfigError
from xfunc_core.quantities import Method
from xfunc_core.references.published import atomref
from xfunc_core.references.schemes import SCHEMES, Scheme
from xfunc_core.references.tables import TableFormat, write_table
from xfunc_core.training.settings import DEVICES, LARGEST_SEED, MOST, FinetuneSettings

WEIGHTS = ("energy_weight", "force_weight", "stress_weight", "magmom_weight")
FRACTIONS = ("validation_fraction", "test_fraction")
SEEDS = ("seed", "split_seed", "subset_seed")
WRONG = [
    ("method", "M5"),
    ("method", "m4"),
    ("method", 4),
    ("references", "keep"),  # that is M3
    ("references", "rigde"),
    ("missing_references", "guess"),
    ("reference_start", "trainable"),
    ("reference_start", "residual"),  # nothing is trained from it
    ("reference_learning_rate", 1e-2),
    ("references", "table"),  # without one
    ("reference_table", "{1: best}"),
    ("reference_table", None),
    ("device", "tpu"),
    ("dataset", None),
    ("dataset", 3),
    ("sweep", None),
    *((name, value) for name in ("epochs", "batch_size") for value in (0, -1, 1.5, "3", True, None, MOST + 1, math.nan)),
    *(("train_size", value) for value in (0, -5, 8.0, "8", False)),
    *(("learning_rate", value) for value in (0, 0.0, -1e-3, 1.1, math.inf, math.nan, "1e-3", None, True, 10**400)),
    *((name, value) for name in FRACTIONS for value in (0.0, 0.51, -0.1, math.nan, "0.1", None)),
    *((name, value) for name in SEEDS for value in (-1, 0.5, "0", LARGEST_SEED + 1, None)),
    *((name, value) for name in WEIGHTS for value in (-0.1, math.inf, math.nan, "1", None)),
    *(("huber_delta", value) for value in (0.0, -1.0, math.inf, None)),
    *(("max_gradient_norm", value) for value in (0.0, -1.0, math.inf, "1")),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=[f"{name}={str(value)[:12]}" for name, value in WRONG])
def test_wrong_value_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"^{name} is ") as refused:
        FinetuneSettings.from_dict({"dataset": "few", name: value})
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize("name", [field.name for field in fields(FinetuneSettings)])
def test_every_setting_refuses_a_list(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{name} is \[\]: it must be of type"):
        FinetuneSettings.from_dict({"dataset": "few", name: []})


def test_nothing_to_learn_is_refused() -> None:
    with pytest.raises(ConfigError, match="All four loss weights are 0"):
        FinetuneSettings("few", **dict.fromkeys(WEIGHTS, 0.0))


def test_unknown_and_missing_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="'epoch', which xfunc does not know"):
        FinetuneSettings.from_dict({"dataset": "few", "epoch": 3})
    with pytest.raises(ConfigError, match="name no dataset"):
        FinetuneSettings.from_dict({"epochs": 3})


def test_defaults_are_the_papers_recipe_where_size_does_not_matter() -> None:
    settings = FinetuneSettings("few")
    assert (settings.learning_rate, settings.huber_delta, settings.max_gradient_norm) == (1e-3, 0.1, None)
    assert [getattr(settings, name) for name in WEIGHTS] == [3.0, 1.0, 0.1, 1.0]


@pytest.mark.parametrize(
    ("method", "references", "scheme"),
    [
        ("M1", "residual", Scheme.RESIDUAL),
        ("M1", "lstsq", Scheme.LSTSQ),
        ("M2", "lstsq", Scheme.KEEP),
        ("M3", "residual", Scheme.KEEP),
        ("M4", "residual", Scheme.RESIDUAL),
        ("M4", "residual-smooth", Scheme.SMOOTH),
        ("M4", "lstsq", Scheme.LSTSQ),
        ("M4", "mean-shift", Scheme.MEAN_SHIFT),
    ],
)
def test_scheme_follows_from_the_method(method: str, references: str, scheme: Scheme) -> None:
    assert FinetuneSettings("few", method=method, references=references).scheme is scheme


@pytest.mark.parametrize(
    ("given_settings", "trained", "start", "rate"),
    [
        ({}, False, Scheme.SMOOTH, None),
        ({"method": "M2"}, True, Scheme.KEEP, 1e-3),  # the paper's M2
        ({"method": "M2", "reference_learning_rate": 0.05}, True, Scheme.KEEP, 0.05),
        ({"method": "M2", "reference_start": "lstsq"}, True, Scheme.LSTSQ, 1e-3),
        ({"references": "trainable"}, True, Scheme.SMOOTH, 1e-2),
        ({"references": "trainable", "method": "M1", "reference_start": "residual"}, True, Scheme.RESIDUAL, 1e-2),
        ({"references": "trainable", "method": "M3"}, False, Scheme.KEEP, None),
    ],
)
def test_training_of_references_follows_from_the_settings(given_settings: dict, trained: bool, start: Scheme, rate: float | None) -> None:
    settings = FinetuneSettings("few", **given_settings)
    assert (settings.trains_references, settings.start_scheme) == (trained, start)
    if trained:
        assert settings.rate_of_references == pytest.approx(rate)


def test_table_is_read_to_the_last_bit_and_survives_a_file() -> None:
    table = write_table(atomref("r2scan"), TableFormat.MACE)
    settings = FinetuneSettings("few", references="table", reference_table=table, reference_table_name="my.txt (mace)")
    np.testing.assert_array_equal(settings.table_energies, atomref("r2scan"))  # NaN for the silent holes
    assert settings.scheme is settings.start_scheme is Scheme.TABLE
    assert FinetuneSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    assert FinetuneSettings("few").table_energies is None
    with pytest.raises(ConfigError, match="is no table. my.txt names 'Xy', which is neither"):
        replace(settings, reference_table='{"Xy": 1.0}', reference_table_name="my.txt")


def numbers(low: float, high: float, **kwargs: bool) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, **kwargs)


@given(
    st.fixed_dictionaries(
        {"dataset": st.text(max_size=20)},
        optional={
            "method": st.sampled_from([m.value for m in Method]),
            "references": st.sampled_from([s.value for s in SCHEMES if s is not Scheme.KEEP]),
            "device": st.sampled_from(DEVICES),
            "epochs": st.integers(1, MOST),
            "batch_size": st.integers(1, MOST),
            "train_size": st.none() | st.integers(1),
            "learning_rate": numbers(0, 1, exclude_min=True),
            "validation_fraction": numbers(0, 0.5, exclude_min=True),
            "test_fraction": numbers(0, 0.5, exclude_min=True),
            "huber_delta": numbers(0, 1e6, exclude_min=True),
            "max_gradient_norm": st.none() | numbers(0, 1e9, exclude_min=True),
            "force_weight": numbers(0, 1e8) | st.integers(0, 10),
            "seed": st.integers(0, LARGEST_SEED),
            "sweep": st.text(max_size=20),
            "missing_references": st.sampled_from(["fail", "prior", "drop"]),
        },
    )
)
def test_settings_survive_a_file(given_settings: dict) -> None:
    settings = FinetuneSettings.from_dict(given_settings)
    assert all(getattr(settings, name) == value for name, value in given_settings.items())
    assert FinetuneSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_a_change_is_checked_too() -> None:
    with pytest.raises(ConfigError, match="epochs is 0"):
        replace(FinetuneSettings("few"), epochs=0)
