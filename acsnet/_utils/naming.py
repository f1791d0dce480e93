"""Look-up of names, with near matches for misspelled ones."""

import difflib
from collections.abc import Mapping
from typing import TypeVar

from acsnet.errors import UnknownNameError

T = TypeVar("T")


def look_up(kind: str, name: str, options: Mapping[str, T], listing: str) -> T:
    """Return ``options[name]``, or raise an error with near matches.

    Args:
        kind: the kind of thing, as in "unknown network".
        name: the name to look up.
        options: the values by their names.
        listing: how to list all names, such as "acsnet.list_models() lists all"; if empty, the message lists them.

    Raises:
        UnknownNameError: if the name is unknown; the message has up to three near matches.

    Example:
        >>> look_up("network", "unet", {"unet": 1, "unetpp": 2}, "")
        1
        >>> look_up("network", "unett", {"unet": 1, "fpn": 2}, "")
        Traceback (most recent call last):
        ...
        acsnet.errors.UnknownNameError: unknown network 'unett': did you mean 'unet'? known: fpn, unet
    """
    if name in options:
        return options[name]
    near = difflib.get_close_matches(str(name).lower(), list(options), n=3, cutoff=0.5)
    guess = f"did you mean {' or '.join(repr(match) for match in near)}? " if near else ""
    raise UnknownNameError(f"unknown {kind} {name!r}: {guess}{listing or 'known: ' + ', '.join(sorted(options))}")
