"""Checks of arguments that several networks take."""

from acsnet.errors import InputError


def check_no_pretrained(encoder_weights: object) -> None:
    """Refuse pre-trained weights for a network that has none.

    Raises:
        InputError: for anything but None.
    """
    if encoder_weights is not None:
        raise InputError(
            f"encoder_weights is {encoder_weights!r}: this network has no pre-trained weights, it starts from random "
            "ones; leave encoder_weights out (in a configuration: --set model.encoder_weights=null)"
        )


def check_width(width: object, step: int = 1) -> None:
    """Check the channels at full size, from which the others follow.

    Raises:
        InputError: where the width is no positive multiple of ``step``.
    """
    if not _is_whole(width) or width < 1 or width % step:  # type: ignore[operator]
        needed = "a whole number of at least 1" if step == 1 else f"a multiple of {step}, as its gate units need"
        raise InputError(f"width is {width!r}: it has to be {needed}")


def check_depth(depth: object, most: int = 5) -> None:
    """Check the number of poolings.

    Raises:
        InputError: for a depth below 1 or above ``most``.
    """
    if not _is_whole(depth) or not 1 <= depth <= most:  # type: ignore[operator]
        raise InputError(f"depth is {depth!r}: it has to be a whole number from 1 to {most}")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
