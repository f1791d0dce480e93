"""The common arguments of all networks, and checks of arguments."""

from collections.abc import Sequence
from typing import TypedDict

from acsnet._utils.naming import look_up
from acsnet.errors import InputError
from acsnet.labels import TASKS


class Contract(TypedDict, total=False):
    """Keyword arguments that every network accepts; all of them have a default.

    A network passes them on to its base class: ``def __init__(self, ..., **contract: Unpack[Contract])``, then
    ``super().__init__(**contract)``.

    Attributes:
        num_classes: K, the number of classes of the class logits; 3 by default. With 0 the label is the features that
            the last layer of the classifier would take.
        in_channels: number of channels of the input images; 3 by default.
        tasks: tasks to build, ``"segmentation"``, ``"classification"`` or both; both by default.
        mask_pooling: whether the classifier also averages its maps with the predicted mask as weights; off by default.
        mask_pooling_gradient: whether the class loss then has a gradient into the mask; off by default.
    """

    num_classes: int
    in_channels: int
    tasks: Sequence[str]
    mask_pooling: bool
    mask_pooling_gradient: bool


def check_contract(num_classes: object, in_channels: object, tasks: Sequence[str]) -> None:
    """Check the values of a :class:`Contract`.

    Raises:
        InputError: if a count is not an integer of at least 1 (0 for ``num_classes``), or if ``tasks`` is not a
            sequence, is empty or repeats a task.
        UnknownNameError: for an unknown task, with near matches.
    """
    check_count("num_classes", num_classes, least=0)
    check_count("in_channels", in_channels)
    if isinstance(tasks, str) or not tasks or len(set(tasks)) != len(tasks):
        raise InputError(f"tasks is {tasks!r}: expected a sequence of one or two of {', '.join(TASKS)}")
    for task in tasks:
        look_up("task", task, dict.fromkeys(TASKS), "")


def check_mask_pooling(
    network: str, is_supported: bool, tasks: Sequence[str], pooling: object, gradient: object
) -> None:
    """Check the values of ``mask_pooling`` and ``mask_pooling_gradient`` of a :class:`Contract`.

    Raises:
        InputError: if a value is not a bool, the network does not support pooling by its mask or does not have both
            tasks, or if the gradient is requested without the pooling.
    """
    for name, value in (("mask_pooling", pooling), ("mask_pooling_gradient", gradient)):
        if not isinstance(value, bool):
            raise InputError(f"{name} is {value!r}: expected true or false")
    if gradient and not pooling:
        raise InputError("mask_pooling_gradient is true, but mask_pooling is false: set mask_pooling to true as well")
    if not pooling:
        return
    if not is_supported:
        raise InputError(f"mask_pooling is true: {network} does not pool its class features by the mask; omit it")
    if set(tasks) != set(TASKS):
        raise InputError(
            f"mask_pooling is true, but tasks is {list(tasks)}: pooling the class features by the predicted mask needs "
            f"both tasks, {' and '.join(TASKS)}"
        )


def check_count(name: str, value: object, most: int | None = None, multiple_of: int = 1, least: int = 1) -> None:
    """Check an argument that counts something: channels, classes, levels.

    Args:
        name: name of the argument, for the message.
        value: its value.
        most: the largest valid value; None for no limit.
        multiple_of: the value must be a multiple of this number.
        least: the smallest valid value.

    Raises:
        InputError: if the value is not an integer that meets all conditions.
    """
    # bool is a subclass of int.
    if type(value) is int and value >= least and value % multiple_of == 0 and (most is None or value <= most):
        return
    expected = f"a whole number of at least {least}" if most is None else f"a whole number from {least} to {most}"
    if multiple_of > 1:
        expected = f"a positive multiple of {multiple_of}"
    raise InputError(f"{name} is {value!r}: expected {expected}")


def check_counts(name: str, values: object, length: int) -> None:
    """Check an argument that counts something at each of several stages.

    Raises:
        InputError: if the argument is not a sequence of this length of integers of at least 1.
    """
    if isinstance(values, str) or not isinstance(values, Sequence) or len(values) != length:
        raise InputError(f"{name} is {values!r}: expected {length} whole numbers, one per stage")
    for value in values:
        check_count(f"a value of {name}", value)
