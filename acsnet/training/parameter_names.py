"""Choice of parameters of a network by wildcard patterns."""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from torch import nn

from acsnet._utils.naming import look_up


def matches(name: str, pattern: str) -> bool:
    """Return whether a pattern matches the name of a parameter or module, or that of a module around it.

    Example:
        >>> matches("encoder.network.conv1.weight", "encoder"), matches("encoder.network.conv1.weight", "enc*.conv1")
        (True, True)
        >>> matches("encoder.network.conv1.weight", "network")
        False
    """
    return any(fnmatchcase(prefix, pattern) for prefix in _prefixes(name))


def check_pattern(network: nn.Module, pattern: str, key: str) -> None:
    """Check that a pattern matches a parameter of a network.

    Args:
        network: the network.
        pattern: the pattern.
        key: the key of the configuration, for the message.

    Raises:
        UnknownNameError: if it matches none, with the nearest names.
    """
    names = [name for name, _ in network.named_parameters()]
    if not any(matches(name, pattern) for name in names):
        known = dict.fromkeys(_ordered(prefix for name in names for prefix in _prefixes(name)))
        parts = ", ".join(_ordered(name.partition(".")[0] for name in names))
        wildcards = ("", ".*", "*")
        near = {f"{name}{end}": None for end in wildcards for name in known if end == "" or "." not in name}
        look_up(f"parameters in {key}", pattern, near, f"the network has {parts}")


def _prefixes(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:length]) for length in range(len(parts), 0, -1))


def _ordered(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
