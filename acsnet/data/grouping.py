"""Groups of images that a split must not part."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from acsnet.data.image_files import natural_order
from acsnet.data.records import Record


def connected_sets(count: int, links: Iterable[tuple[int, int]]) -> list[int]:
    """Number the sets into which links join ``count`` things, a number a thing, in the order of their first members."""
    rows, columns = np.array([*links], np.int64).reshape(-1, 2).T
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(label, len(numbers)) for label in labels.tolist()]


def group_records(records: Sequence[Record], links: Iterable[tuple[int, int]] = ()) -> list[Record]:
    """Fill in the groups: what shares its pixels, its patient or the group of its table, and what ``links`` join.

    A group bears the dataset and the name of its first image in natural order, so that it is the same in whichever
    order the records come.

    Args:
        records: with ``digest`` filled in, or "" where it is not known.
        links: positions of further records that belong together.
    """
    # A graph of records and of what they share: whatever hangs together is a group.
    nodes: dict[tuple[str, str, str], int] = {}
    edges = list(links)
    for index, record in enumerate(records):
        keys = [("pixels", "", record.digest)] if record.digest else []
        keys += [("patient", record.dataset, record.patient)] if record.patient else []
        keys += [("group", record.dataset, record.group)] if record.group else []
        edges += [(index, len(records) + nodes.setdefault(key, len(nodes))) for key in keys]
    # Beyond the records, the sets list what they share.
    sets = connected_sets(len(records) + len(nodes), edges)
    pairs = list(zip(records, sets, strict=False))
    names: dict[int, str] = {}
    for record, number in sorted(pairs, key=lambda pair: (pair[0].dataset, natural_order(pair[0].name))):
        names.setdefault(number, f"{record.dataset}/{record.name}")
    return [replace(record, group=names[number]) for record, number in pairs]
