"""Look-up of names, with near matches for a misspelled one."""

import difflib
from collections.abc import Mapping
from typing import TypeVar

from acsnet.errors import UnknownNameError

T = TypeVar("T")


def look_up(kind: str, name: str, options: Mapping[str, T], listing: str) -> T:
    """Return ``options[name]``, or say what was meant.

    Args:
        kind: what the name stands for, as in "unknown network".
        name: the name that was asked for.
        options: the known names.
        listing: how to see all names, as in "acsnet.list_models() lists all"; where it is empty, they are listed.

    Raises:
        UnknownNameError: with up to three near matches.
    """
    if name in options:
        return options[name]
    near = difflib.get_close_matches(str(name).lower(), list(options), n=3, cutoff=0.5)
    guess = f"did you mean {' or '.join(repr(match) for match in near)}? " if near else ""
    raise UnknownNameError(f"unknown {kind} {name!r}: {guess}{listing or 'known: ' + ', '.join(sorted(options))}")
