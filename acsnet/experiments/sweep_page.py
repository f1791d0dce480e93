"""The results of a search: a table, an HTML page, and the best configuration."""

from collections.abc import Mapping
from pathlib import Path

from acsnet._utils.files import write_csv, write_text
from acsnet._utils.html import decimal, inline_plot, render
from acsnet._utils.tables import Table
from acsnet.experiments.sweep import Sweep, TrialResult
from acsnet.experiments.sweep_plots import draw_curves, draw_scores, draw_values


def write_sweep(sweep: Sweep, failures: Mapping[str, str]) -> Path | None:
    """Write ``sweep.csv``, ``sweep.html`` and ``best.yaml`` into the folder of a search, each atomically.

    Args:
        sweep: the search.
        failures: the errors of failed trials, by the names of the trials.

    Returns:
        The path of the page, or None if no trial is done; then nothing is written.
    """
    results = sweep.results()
    if not results:
        return None
    keys = list(sweep.search.parameters)
    write_csv(sweep.work_dir / "sweep.csv", [_row(result) for result in results])
    write_text(sweep.work_dir / "best.yaml", sweep.config(results[0].values).to_yaml())
    page = render(
        "sweep.html",
        name=sweep.work_dir.resolve().name,
        method=sweep.search.method,
        selection=sweep.selection,
        tiles=_tiles(results, failures),
        scores=inline_plot(draw_scores(results)),
        values=inline_plot(draw_values(results, keys)),
        curves=inline_plot(draw_curves(results)),
        columns=["trial", *keys, "score", "epochs"],
        rows=[_cells(result, keys) for result in results],
        failures=failures,
    )
    path = sweep.work_dir / "sweep.html"
    write_text(path, page)
    return path


def result_table(results: list[TrialResult], count: int = 10) -> str:
    """Return the best trials as text.

    Args:
        results: the trials, best first.
        count: the largest number of trials to show.
    """
    if not results:
        return "no trial is done"
    keys = list(results[0].values)
    rows = [["trial", *keys, "score", "epochs"], *(_cells(result, keys) for result in results[:count])]
    return Table.from_rows(rows).to_text()


def _tiles(results: list[TrialResult], failures: Mapping[str, str]) -> list[tuple[str, str, str, str]]:
    pruned = sum(result.pruned for result in results)
    return [
        (decimal(results[0].score), "best score", results[0].name, "good"),
        (str(len(results)), "trials", f"{pruned} of them stopped early", ""),
        (str(len(failures)), "failed", "", "bad" if failures else ""),
    ]


def _row(result: TrialResult) -> dict[str, object]:
    return {
        "trial": result.name,
        **result.values,
        "score": result.score,
        "pruned": result.pruned,
        "epochs": len(result.curve),
    }


def _cells(result: TrialResult, keys: list[str]) -> list[str]:
    mark = " (stopped early)" if result.pruned else ""
    values = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in map(result.values.get, keys)]
    return [result.name, *values, f"{decimal(result.score)}{mark}", str(len(result.curve))]
