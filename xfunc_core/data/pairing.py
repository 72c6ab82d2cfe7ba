"""One entrance to the ways of pairing PBE and r²SCAN frames."""

from __future__ import annotations

from xfunc_core.data.dataset import Dataset
from xfunc_core.data.pairing_by_material import pair_by_material
from xfunc_core.data.pairing_by_structure import Progress, pair_by_structure
from xfunc_core.data.pairs import PairingMethod, Pairs, pair_by_id


def pair(pbe: Dataset, r2scan: Dataset, how: PairingMethod = PairingMethod.BY_ID, progress: Progress | None = None) -> Pairs:
    """Pair the frames of two datasets; every frame is in one pair or in ``unpaired`` with its reason.

    Args:
        pbe: labelled with PBE.
        r2scan: labelled with r²SCAN.
        how: how the two frames of a pair are found.
        progress: told the share that is done, 0 to 1, and what comes next; only pairing by structure takes long.

    Raises:
        DataError: the two datasets are not one of PBE and one of r²SCAN.
    """
    if how is PairingMethod.BY_STRUCTURE:
        return pair_by_structure(pbe, r2scan, progress)
    return pair_by_material(pbe, r2scan) if how is PairingMethod.BY_MATERIAL else pair_by_id(pbe, r2scan)
