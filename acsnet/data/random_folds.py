"""Splits at random, with or without stratification by class, as scikit-learn draws them.

Publications that name only a number of folds or a fraction, and a seed, are reproduced to the image by these functions
of scikit-learn.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from acsnet._utils.extras import explain_missing
from acsnet.config import VALIDATED_ON_TEST, FoldsConfig
from acsnet.errors import DataError

_SUBJECT = "splitting at random"


class Positions(NamedTuple):
    """Positions of the training, validation and test images in a list; the latter two may be the same."""

    train: list[int]
    val: list[int]
    test: list[int]


def draw_positions(labels: Sequence[str], folds: FoldsConfig) -> Positions:
    """Split a list of images at random.

    The test subset is fold ``index`` of ``KFold`` or ``StratifiedKFold``, or drawn by ``train_test_split``. The
    validation subset is drawn from the rest by ``train_test_split``. All are shuffled with ``seed``.

    Args:
        labels: class of each image; the order of the images is part of the split.
        folds: settings of the split.

    Raises:
        DataError: if there are too few images, or too few of a class for a stratified split.

    Example:
        >>> from acsnet.config import FoldsConfig
        >>> from acsnet.data.random_folds import draw_positions
        >>> folds = FoldsConfig(count=4, grouped=False, stratified=True, validation=0.2, seed=1993)
        >>> positions = draw_positions(["benign"] * 12 + ["normal"] * 8, folds)
        >>> len(positions.train), len(positions.val), len(positions.test)
        (12, 3, 5)
    """
    with explain_missing(_SUBJECT):
        from sklearn.model_selection import KFold, StratifiedKFold

    everything = np.arange(len(labels))
    names = np.asarray(labels)
    try:
        if folds.test is None:
            kind = StratifiedKFold if folds.stratified else KFold
            splitter = kind(folds.count, shuffle=True, random_state=folds.seed)
            rest, test = list(splitter.split(everything, names))[folds.index]
        else:
            rest, test = _draw(everything, names, folds, folds.test)
        if folds.validation == VALIDATED_ON_TEST:
            return Positions(rest.tolist(), test.tolist(), test.tolist())
        train, val = _draw(rest, names, folds, float(folds.validation))
    except ValueError as error:
        raise DataError(
            f"the {len(labels)} images cannot be split at random as data.folds says ({error}): add images, or change "
            "data.folds"
        ) from error
    return Positions(train.tolist(), val.tolist(), test.tolist())


def _draw(
    positions: "np.ndarray[tuple[int], np.dtype[np.intp]]",
    names: "np.ndarray[tuple[int], np.dtype[np.str_]]",
    folds: FoldsConfig,
    share: float,
) -> "tuple[np.ndarray[tuple[int], np.dtype[np.intp]], np.ndarray[tuple[int], np.dtype[np.intp]]]":
    with explain_missing(_SUBJECT):
        from sklearn.model_selection import train_test_split

    stratify = names[positions] if folds.stratified else None
    rest, drawn = train_test_split(positions, test_size=share, random_state=folds.seed, stratify=stratify)
    return np.sort(rest), np.sort(drawn)
