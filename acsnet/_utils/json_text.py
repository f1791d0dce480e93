"""JSON of files that others may have written: read as the standard defines it, to a limited depth."""

import json
import math
from collections import Counter
from typing import Any

#: Metadata and indexes are nested about ten deep.
MAX_DEPTH = 40


def parse_json(text: str) -> Any:
    """Parse JSON that may be damaged or crafted.

    Unlike :func:`json.loads`, it refuses NaN and infinite numbers, keys that stand twice in one object, and values that
    are nested deeper than ``MAX_DEPTH``.

    Raises:
        ValueError: if the text is not such JSON; the message is one line.

    Example:
        >>> parse_json('{"mean": [0.33]}')
        {'mean': [0.33]}
        >>> parse_json('{"mean": NaN}')
        Traceback (most recent call last):
        ...
        ValueError: NaN is not a number of JSON
    """
    try:
        content = json.loads(
            text, parse_constant=_refuse_constant, parse_float=_parse_float, object_pairs_hook=_to_dictionary
        )
    except RecursionError:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH}") from None
    _check_depth(content)
    return content


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON")


def _parse_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _to_dictionary(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice[:40]!r} stands twice in one object")
    return content


def _check_depth(content: Any) -> None:
    level = [content]
    for _ in range(MAX_DEPTH):
        level = [value for item in level if isinstance(item, dict | list) for value in _values(item)]
        if not level:
            return
    raise ValueError(f"it is nested deeper than {MAX_DEPTH}")


def _values(item: dict[str, Any] | list[Any]) -> list[Any]:
    return list(item.values()) if isinstance(item, dict) else item
