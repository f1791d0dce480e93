"""Tables of measured and published values in the layout of each publication."""

from collections.abc import Iterator

from acsnet._utils.tables import Cell, Column, Row, Table
from acsnet.report.context import ReportContext
from acsnet.report.published import PIXEL_F1, Publication, Published, compared_metric
from acsnet.statistics import METRICS
from acsnet.statistics.compare import NetworkEstimates
from acsnet.statistics.formatting import format_value, interval_cell


def published_tables(context: ReportContext) -> list[Table]:
    """Return one table per publication in its own layout, with two rows per network: measured and published."""
    published = context.published
    tables = []
    for publication in dict.fromkeys(own.publication for own in published.values()):
        rows = [
            row
            for network in context.comparison.networks
            if network.name in published and published[network.name].publication == publication
            for row in _rows(network, published[network.name])
        ]
        columns = [Column(title) for title in publication.columns.values()]
        caption = f"Measured and published: {publication.key}"
        key = f"published_{publication.key.split()[0].lower()}"
        tables.append(Table("network", columns, rows, key, caption, [*_notes(publication)]))
    return tables


def _rows(network: NetworkEstimates, published: Published) -> Iterator[Row]:
    columns = published.publication.columns
    metrics = [compared_metric(column) for column in columns]
    cells = [interval_cell(network.estimates[metric], METRICS[metric].digits) for metric in metrics]
    yield Row(network.name, cells, remark="measured")
    cells = [Cell(format_value(published.values.get(column))) for column in columns]
    method = "" if published.method == network.name else f" ({published.method})"
    yield Row(network.name, cells, remark=f"published{method}", source="published")


def _notes(publication: Publication) -> Iterator[str]:
    yield f"Published: {publication.citation}. Data: {publication.setting}. Measured: on the images of this report."
    if PIXEL_F1 in publication.columns:
        yield (
            "The publication does not say how its F1 scores are averaged. The measured class F1 is the mean over "
            "classes; the measured segmentation F1 is the mean over images, which is the Dice."
        )
    if "dice_benign" in publication.columns:
        yield "The average Dice is the mean over all images."
