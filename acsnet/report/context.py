"""Everything that the sections of a report are made from, computed once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from acsnet.config import DataConfig
from acsnet.data import Record
from acsnet.report.images import ImageKey, find_records
from acsnet.report.published import Published, find_published
from acsnet.report.tested_networks import Network
from acsnet.statistics import compare
from acsnet.statistics.compare import Comparison


@dataclass(frozen=True)
class ReportContext:
    """The inputs of a report.

    Attributes:
        networks: the networks, in the order of the rows of tables.
        comparison: their comparison.
        published: the published results of networks that have some, by the names of the networks.
        records: the records of the tested images that were found, by dataset and name.
        missing: one line per problem because of which images were not found.
    """

    networks: Sequence[Network]
    comparison: Comparison
    published: Mapping[str, Published]
    records: Mapping[ImageKey, Record]
    missing: Sequence[str]


def build_context(
    networks: Sequence[Network],
    reference: str | None = None,
    allow_selected_on_test: bool = False,
    data: DataConfig | None = None,
) -> ReportContext:
    """Compare networks, and find their images and published results.

    Args:
        networks: the networks, as returned by :func:`~acsnet.report.read_networks`.
        reference: the network that the others are tested against; by default all pairs are tested.
        allow_selected_on_test: compare networks whose epoch was selected on the test subset with others.
        data: where the tested images are, if the configurations do not say it.

    Raises:
        RunError: if the networks cannot be compared; the message names the difference.
        UnknownNameError: if the reference is not one of the networks.
    """
    runs = [run for network in networks for run in network.runs]
    comparison = compare(runs, reference, allow_selected_on_test=allow_selected_on_test)
    published = {network.name: results for network in networks if (results := find_published(network))}
    records, missing = find_records(networks, data)
    return ReportContext(networks, comparison, published, records, missing)
