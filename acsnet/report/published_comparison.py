"""Measured beside published, in the layout of each publication."""

from collections.abc import Iterator, Mapping

from acsnet.statistics.formatting import digits_of, interval_cell
from acsnet.report.published import PIXEL_F1, Publication, Published, measured_beside
from acsnet.report.tables import Cell, Column, Row, Table
from acsnet.statistics.compare import Comparison, NetworkEstimates
from acsnet.statistics.formatting import format_value


def published_tables(comparison: Comparison, published: Mapping[str, Published]) -> list[Table]:
    """A table a publication, with its columns in its order, and two rows a network: measured and published."""
    tables = []
    for publication in dict.fromkeys(own.publication for own in published.values()):
        rows = [
            row
            for network in comparison.networks
            if network.name in published and published[network.name].publication == publication
            for row in _rows(network, published[network.name])
        ]
        columns = [Column(title) for title in publication.columns.values()]
        caption = f"Measured beside {publication.key}"
        name = f"published_{publication.key.split()[0].lower()}"
        tables.append(Table(name, caption, "network", columns, rows, [*_notes(publication)]))
    return tables


def _rows(network: NetworkEstimates, published: Published) -> Iterator[Row]:
    columns = published.publication.columns
    measured = [measured_beside(column) for column in columns]
    cells = [interval_cell(network.estimates[measure], digits_of(measure)) for measure in measured]
    yield Row(network.name, cells, remark="measured")
    cells = [Cell(format_value(published.figures.get(column))) for column in columns]
    method = "" if published.method == network.name else f" ({published.method})"
    yield Row(network.name, cells, remark=f"published{method}", published=True)


def _notes(publication: Publication) -> Iterator[str]:
    yield f"Published: {publication.citation}. On {publication.setting}. Measured: on the images of this report."
    if PIXEL_F1 in publication.columns:
        yield (
            "The publication does not say how its F1 scores are averaged. Measured are the mean over classes, and of "
            "the pixels that over images, which is the Dice."
        )
    if "dice_benign" in publication.columns:
        yield "The average Dice is the mean over all images."
