"""Groups of images that belong together and that a split must not separate."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from acsnet._utils.extras import explain_missing
from acsnet.data.image_files import natural_order
from acsnet.data.records import Record


def connected_sets(count: int, links: Iterable[tuple[int, int]]) -> list[int]:
    """Return the number of the connected component of each of ``count`` nodes.

    Components are numbered in the order of their first members.
    """
    with explain_missing("grouping images"):
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

    rows, columns = np.array([*links], np.int64).reshape(-1, 2).T
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(label, len(numbers)) for label in labels.tolist()]


def group_records(records: Sequence[Record], links: Iterable[tuple[int, int]] = ()) -> list[Record]:
    """Return the records with ``group`` filled in.

    Records are in one group if they share their pixels, their patient or the group of their table, or if ``links``
    join them, directly or through others. A group is named after the dataset and name of its first image in natural
    order, so that its name does not depend on the order of the records.

    Args:
        records: Records with ``digest`` filled in, or "" if it is unknown.
        links: Pairs of positions of further records that belong together.
    """
    # The graph has one node per record and one per shared property: its connected components are the groups.
    nodes: dict[tuple[str, str, str], int] = {}
    edges = list(links)
    for index, record in enumerate(records):
        keys = [("pixels", "", record.digest)] if record.digest else []
        keys += [("patient", record.dataset, record.patient)] if record.patient else []
        keys += [("group", record.dataset, record.group)] if record.group else []
        edges += [(index, len(records) + nodes.setdefault(key, len(nodes))) for key in keys]
    # The components of the property nodes follow those of the records, and zip drops them.
    components = connected_sets(len(records) + len(nodes), edges)
    numbered = list(zip(records, components, strict=False))
    names: dict[int, str] = {}
    for record, number in sorted(numbered, key=lambda item: (item[0].dataset, natural_order(item[0].name))):
        names.setdefault(number, f"{record.dataset}/{record.name}")
    return [replace(record, group=names[number]) for record, number in numbered]
