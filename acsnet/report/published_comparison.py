"""Tables of measured and published values in the layout of each publication, both counted in its way."""

from collections.abc import Iterator, Mapping

from acsnet._utils.tables import Cell, Column, Row, Table
from acsnet.metrics.published import PUBLISHED_METRICS
from acsnet.report.context import ReportContext
from acsnet.report.published import Publication, Published
from acsnet.report.tested_networks import Network
from acsnet.statistics import summarize_published
from acsnet.statistics.folds import FoldSummary
from acsnet.statistics.formatting import add_folds, format_value

_DIGITS = 3


def published_tables(context: ReportContext) -> list[Table]:
    """Return one table per publication in its own layout, with two rows per network: measured and published.

    Networks whose test has no metrics of the publication are left out; see :func:`explain_missing_metrics`.
    """
    rows: dict[Publication, list[Row]] = {}
    for network in context.networks:
        published = context.published.get(network.name)
        measured = None if published is None else _measured(network, published)
        if published is not None and measured is not None:
            rows.setdefault(published.publication, []).extend(_rows(network, measured, published))
    return [
        Table(
            "network",
            [Column(title) for title in publication.columns.values()],
            own,
            f"published_{publication.metrics}",
            f"Measured and published: {publication.key}",
            [*_notes(publication)],
        )
        for publication, own in rows.items()
    ]


def explain_missing_metrics(context: ReportContext) -> list[str]:
    """Return one line per publication on the networks that it reports and whose tests lack its metrics."""
    names: dict[str, list[str]] = {}
    for network in context.networks:
        published = context.published.get(network.name)
        if published is not None and _measured(network, published) is None:
            names.setdefault(published.publication.metrics, []).append(network.name)
    return [
        f"{', '.join(own)}: published results exist, but are counted in another way than the metrics here. To compare "
        f"them, test again with --set evaluation.published_metrics=[{key}]."
        for key, own in names.items()
    ]


def _measured(network: Network, published: Published) -> Mapping[str, FoldSummary] | None:
    return summarize_published(network.result.metrics).get(published.publication.metrics)


def _rows(network: Network, measured: Mapping[str, FoldSummary], published: Published) -> Iterator[Row]:
    columns = published.publication.columns
    remark = ", ".join(filter(None, ("measured", network.selection_remark)))
    yield Row(network.name, [_measured_cell(measured.get(column)) for column in columns], remark=remark)
    method = "" if published.method == network.name else f" ({published.method})"
    cells = [_published_cell(published, column) for column in columns]
    yield Row(network.name, cells, remark=f"published{method}", source="published")


def _measured_cell(summary: FoldSummary | None) -> Cell:
    return add_folds(Cell(format_value(summary.mean if summary else None, _DIGITS)), summary, _DIGITS)


def _published_cell(published: Published, column: str) -> Cell:
    value = published.values.get(column)
    # A value with more digits is shown as it was published.
    text = max(format_value(value, _DIGITS), "" if value is None else str(value), key=len)
    if column not in published.deviations:
        return Cell(text)
    return Cell(text, mean=text, deviation=format_value(published.deviations[column], _DIGITS))


def _notes(publication: Publication) -> Iterator[str]:
    yield f"Published: {publication.citation}. Data: {publication.setting}. Measured: on the images of this report."
    yield f"Both are counted as in the publication's code: {PUBLISHED_METRICS[publication.metrics].how}."
