"""Work of several threads."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# Enough work per chunk that no thread waits for long at its end.
_CHUNK_ITEMS = 1000


def map_in_chunks(pool: Executor, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Yield the results of a function in order, like ``pool.map``, which takes memory for all items at once.

    Example:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> with ThreadPoolExecutor() as pool:
        ...     print(list(map_in_chunks(pool, abs, [-2, 3])))
        [2, 3]
    """
    for start in range(0, len(items), _CHUNK_ITEMS):
        yield from pool.map(function, items[start : start + _CHUNK_ITEMS])
