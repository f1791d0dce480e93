"""From class probabilities to a class: temperature, renormalization over some classes, operating points."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from acsnet._utils.naming import look_up
from acsnet._utils.typing import Float64Array, IndexArray
from acsnet.checkpoints import OperatingPoint, OperatingPoints
from acsnet.errors import InputError
from acsnet.labels import POSITIVE_CLASS

# Probabilities below it count as this one: float32 rounds probabilities to 0, whose logarithm is infinite.
_SMALLEST_PROBABILITY = 1e-12


def select_classes(class_names: Sequence[str], selected: Sequence[str] | None) -> tuple[str, ...]:
    """Return the selected classes in the order of the network, or all of them if none are selected.

    Args:
        class_names: the classes of the network.
        selected: ``evaluation.classes``.

    Raises:
        UnknownNameError: if the network does not have a class; the message lists near matches.
        InputError: if there are fewer than two.

    Example:
        >>> from acsnet.inference.class_decision import select_classes
        >>> select_classes(("benign", "malignant", "normal"), ["malignant", "benign"])
        ('benign', 'malignant')
    """
    if selected is None:
        return tuple(class_names)
    for name in selected:
        listing = f"the network has {', '.join(class_names)}"
        look_up("class in evaluation.classes", name, dict.fromkeys(class_names), listing)
    chosen = tuple(name for name in class_names if name in selected)
    if len(chosen) < 2:
        raise InputError(f"evaluation.classes has only {', '.join(chosen) or 'no class'}: name at least two classes")
    return chosen


def adjust_probabilities(
    probabilities: npt.ArrayLike,
    temperature: float = 1.0,
    class_names: Sequence[str] = (),
    selected: Sequence[str] = (),
) -> Float64Array:
    """Apply a temperature to class probabilities, and renormalize them over the selected classes.

    The probabilities are raised to the power 1 / temperature (of at least 1e-12 each) and divided by their sum over the
    selected classes. The order of both steps does not matter.

    Args:
        probabilities: (N, K) or (K,), in 0 to 1.
        temperature: above 0; a temperature above 1 makes predictions less certain.
        class_names: the K classes; needed only to select some.
        selected: the classes that remain, by default all.

    Returns:
        Probabilities (N, S) or (S,) of the S selected classes, in their order, with a sum of 1.

    Example:
        >>> from acsnet.inference.class_decision import adjust_probabilities
        >>> names = ["benign", "malignant", "normal"]
        >>> adjust_probabilities([0.2, 0.3, 0.5], 1.0, names, ["benign", "malignant"]).tolist()
        [0.4, 0.6]
        >>> adjust_probabilities([0.9, 0.1], temperature=2.0).round(6).tolist()
        [0.75, 0.25]
    """
    values = np.asarray(probabilities, np.float64)
    if selected and tuple(selected) != tuple(class_names):
        values = values[..., [list(class_names).index(name) for name in selected]]
    elif temperature == 1:
        return values
    if temperature == 1 and (values.sum(axis=-1) > 0).all():
        return np.asarray(values / values.sum(axis=-1, keepdims=True))
    logs = np.log(np.maximum(values, _SMALLEST_PROBABILITY)) / temperature
    powers = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def decide_classes(
    probabilities: npt.ArrayLike, class_names: Sequence[str], threshold: float | None = None
) -> IndexArray:
    """Return the index of the predicted class of each image.

    Args:
        probabilities: (N, K) or (K,).
        class_names: the K classes.
        threshold: an image is malignant if its probability of "malignant" is at least the threshold, otherwise it is of
            the most probable other class; None for the most probable class.

    Returns:
        Indices (N,) or ().

    Example:
        >>> from acsnet.inference.class_decision import decide_classes
        >>> decide_classes([[0.7, 0.3], [0.8, 0.2]], ["benign", "malignant"], threshold=0.25).tolist()
        [1, 0]
    """
    values = np.asarray(probabilities, np.float64)
    if threshold is None:
        return np.asarray(values.argmax(axis=-1))
    positive = list(class_names).index(POSITIVE_CLASS)
    others = values.copy()
    others[..., positive] = -1
    return np.where(values[..., positive] >= threshold, positive, others.argmax(axis=-1))


def find_operating_point(points: OperatingPoints | None, name: str, class_names: Sequence[str]) -> OperatingPoint:
    """Return an operating point of a checkpoint by its name.

    Args:
        points: the operating points of the checkpoint.
        name: the name, such as "specificity_90".
        class_names: the evaluated classes.

    Raises:
        InputError: if the checkpoint has no operating points, or "malignant" is not one of the classes.
        UnknownNameError: if it has others; the message lists near matches.
    """
    if points is None:
        raise InputError(
            f"the checkpoint has no operating point {name!r}: choose operating points by acsnet calibrate, which "
            "writes a checkpoint that has them"
        )
    if POSITIVE_CLASS not in class_names:
        raise InputError(f"the operating point {name!r} decides on {POSITIVE_CLASS!r}, which is not one of the classes")
    return look_up("operating point", name, points.points, f"the checkpoint has {', '.join(points.points) or 'none'}")
