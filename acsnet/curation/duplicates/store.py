"""Descriptions of many images in a file instead of in memory."""

import os
import pickle
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import overload

import numpy as np

from acsnet._utils.files import explained_writes
from acsnet.curation.duplicates.description import Description


class StoredDescriptions(Sequence[Description]):
    """A sequence of descriptions in a temporary file, about 110 kB each.

    In memory, 50,000 of them would take 8 GB; of a file, the operating system keeps as much there as there is room for.
    The file has no name, so that it is gone when the process ends. Several threads may read at once.

    Raises:
        WriteError: if the temporary folder cannot be written or is full; the environment variable TMPDIR names another.
    """

    def __init__(self) -> None:
        with explained_writes(Path(os.environ.get("TMPDIR", "/tmp"))):
            self._folder = Path(tempfile.gettempdir())
        with explained_writes(self._folder):
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed with this object)
        # Where each description starts, and where the last one ends.
        self._bounds = [0]

    def append(self, description: Description) -> None:
        """Write a description to the end."""
        # A mask takes one bit per pixel, as large as the reduced image.
        bits = None if description.mask is None else np.packbits(description.mask)
        data = pickle.dumps((replace(description, mask=None), bits), protocol=pickle.HIGHEST_PROTOCOL)
        with explained_writes(self._folder):
            self._file.write(data)
            self._file.flush()
        self._bounds.append(self._bounds[-1] + len(data))

    def __len__(self) -> int:
        return len(self._bounds) - 1

    @overload
    def __getitem__(self, index: int) -> Description: ...
    @overload
    def __getitem__(self, index: slice) -> list[Description]: ...
    def __getitem__(self, index: int | slice) -> Description | list[Description]:
        positions = range(len(self))[index]
        return self._read(positions) if isinstance(positions, int) else [self._read(one) for one in positions]

    def _read(self, position: int) -> Description:
        start, end = self._bounds[position : position + 2]
        # Only this process can have written to the file, since it has no name.
        description, bits = pickle.loads(os.pread(self._file.fileno(), end - start, start))
        if bits is None:
            return description
        shape = description.reduced.shape
        mask = np.unpackbits(bits, count=shape[0] * shape[1]).reshape(shape).astype(np.bool_)
        return replace(description, mask=mask)
