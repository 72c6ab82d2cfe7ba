"""Files that torch wrote, read without running any code from them."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

import torch

from xfunc_core.errors import DataError

WRONG_CONTENT = (
    *(RuntimeError, ValueError, LookupError, TypeError, AttributeError, AssertionError, EOFError, struct.error),
    *(zipfile.BadZipFile, torch.serialization.pickle.UnpicklingError),
)
"""What torch raises, found by damaging files at random, on content that is damaged, hostile or of another kind."""


def read_saved(path: Path) -> Any:
    """What ``torch.save`` put into a file: tensors and plain containers on the CPU, never other objects.

    Raises:
        DataError: the file cannot be read, is damaged, or holds something else.
    """
    try:
        with path.open("rb") as stream:
            # Before torch 1.6 the format was a bare pickle stream: text and truncated files would be taken for one.
            if not zipfile.is_zipfile(stream):
                raise DataError(f"{path.name} was not written by torch, or is truncated: choose another file.")
            stream.seek(0)
            return torch.load(stream, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}): check the path.") from error
    except WRONG_CONTENT as error:
        raise DataError(f"{path.name} is damaged or holds more than weights ({type(error).__name__}): choose another file.") from error
