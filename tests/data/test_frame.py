"""Stress between its two forms."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pymatgen.core.tensors import Tensor

from xfunc_core.data.frame import matrix_to_voigt, voigt_to_matrix
from xfunc_core.quantities import VOIGT

STRESSES = hnp.arrays(float, hnp.array_shapes(min_dims=0, max_dims=2, max_side=3).map(lambda shape: (*shape, 6)), elements=st.floats(-1e3, 1e3))


def test_voigt_order_is_the_one_that_is_named() -> None:
    matrix = voigt_to_matrix(np.arange(6.0))
    assert [matrix["xyz".index(a), "xyz".index(b)] for a, b in VOIGT] == [0, 1, 2, 3, 4, 5]
    assert [matrix["xyz".index(b), "xyz".index(a)] for a, b in VOIGT] == [0, 1, 2, 3, 4, 5]


@given(hnp.arrays(float, 6, elements=st.floats(-1e3, 1e3)))
def test_matrix_is_the_one_of_pymatgen(stress: np.ndarray) -> None:
    np.testing.assert_array_equal(voigt_to_matrix(stress), Tensor.from_voigt(stress))


@given(STRESSES)
def test_round_trip_is_exact_for_any_number_of_frames(stress: np.ndarray) -> None:
    matrices = voigt_to_matrix(stress)
    assert matrices.shape == (*stress.shape[:-1], 3, 3)
    np.testing.assert_array_equal(matrices, np.swapaxes(matrices, -1, -2))
    np.testing.assert_array_equal(matrix_to_voigt(matrices), stress)
