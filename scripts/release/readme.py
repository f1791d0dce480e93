"""Generated documentation of released checkpoints: ``checkpoints/README.md`` and the tables of two pages."""

import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from acsnet._utils.files import replace_section, write_json, write_text
from acsnet._utils.tables import Cell, Column, Row, Table
from acsnet.checkpoints import (
    Estimate,
    Rate,
    ReleasedCheckpoint,
    ReleasedCrossValidation,
    ReleasedTest,
    ReleaseIndex,
    TestedOperatingPoints,
    describe_members,
)
from acsnet.checkpoints.index import INDEX_NAME
from acsnet.statistics import METRICS
from acsnet.statistics.formatting import UNDEFINED, format_value

README_NAME = "README.md"
ACCURACY_PAGE = Path("docs", "benchmarks", "accuracy.md")
SECTION = "released"
_HEADER = """# Released checkpoints

Generated from `index.json` by `python -m scripts.release readme`; do not edit. Metrics are those of the files in this
folder, with 95 % intervals from a bootstrap over groups of images.
"""
# The metrics in the table of all tests, and in the short one of the main README.
_OVERVIEW = ("dice_lesion", "dice_normal", "accuracy", "f1_macro", "auroc_malignant")
_SHORT = ("dice_lesion", "accuracy", "auroc_malignant")
_EMPTY = """There are none yet. The page docs/guides/releasing.md says how to release one.
"""


def write_index(folder: Path, index: ReleaseIndex) -> None:
    """Write an index, sorted by name, and the tables generated from it.

    Raises:
        InputError: if a page has no section for its table.
    """
    ordered = index.model_copy(update={"checkpoints": dict(sorted(index.checkpoints.items()))})
    texts = readmes(folder, ordered)
    write_json(folder / INDEX_NAME, ordered.model_dump(mode="json"))
    for path, text in texts.items():
        write_text(path, text)


def readmes(folder: Path, index: ReleaseIndex) -> dict[Path, str]:
    """Return the content of the generated pages by path.

    They are the README of the folder and, if they exist, the main README with a short table and the page "Accuracy"
    with all tests.

    Raises:
        InputError: if a page has no section for its table.
    """
    texts = {folder / README_NAME: release_readme(index)}
    tables: dict[Path, Callable[[], str]] = {
        Path(README_NAME): lambda: _short_table(index, f"{folder.name}/{README_NAME}"),
        # Without links: the site has no page of a file outside docs/.
        ACCURACY_PAGE: lambda: released_table(index, None),
    }
    for name, make_table in tables.items():
        page = folder.parent / name
        if page.is_file():
            texts[page] = replace_section(page, SECTION, make_table)
    return texts


def release_readme(index: ReleaseIndex) -> str:
    """Return the descriptions of all released checkpoints in Markdown."""
    if not index.checkpoints:
        return f"{_HEADER}\n{_EMPTY}"
    return "\n".join(
        [_HEADER, released_table(index), "", *(_describe(name, entry) for name, entry in index.checkpoints.items())]
    )


def _short_table(index: ReleaseIndex, page: str) -> str:
    """Return one row per checkpoint: its test by the protocol of its training, linked to its section on a page."""
    titles = ["network", "tested on", *(METRICS[key].title for key in _SHORT)]
    rows = []
    for name, entry in index.checkpoints.items():
        for test in [test for test in entry.tests if not test.settings][:1]:
            values = (_cell(test.metrics.get(key)) for key in _SHORT)
            cells = [Cell(_network(entry, ("encoder",))), Cell(_tested_on(test)), *values]
            rows.append(Row(name, cells, link=f"{page}#{name}", is_code=True))
    return _write_table("name", titles, rows)


def released_table(index: ReleaseIndex, page: str | None = "") -> str:
    """Return all tests and cross-validations of all checkpoints, one row each.

    Args:
        index: the released checkpoints.
        page: the page with the sections that the names link to; None for no links.
    """
    titles = ["network", "trained on", "MB", "tested on", *(METRICS[key].title for key in _OVERVIEW)]
    rows = []
    for name, entry in index.checkpoints.items():
        results = [(_tested_on(test), test.metrics) for test in entry.tests]
        if entry.crossval is not None:
            results.append(
                (f"{entry.crossval.folds}-fold cross-validation, n = {entry.crossval.n}", entry.crossval.metrics)
            )
        for tested_on, metrics in results or [(UNDEFINED, {})]:
            # A network of one task has no metrics of the other.
            values = [Cell(tested_on), *(_cell(metrics.get(key)) for key in _OVERVIEW)]
            about = (_network(entry, ("encoder",)), ", ".join(entry.data.names), f"{entry.size / 1e6:.1f}")
            link = "" if page is None else f"{page}#{name}"
            rows.append(Row(name, [*map(Cell, about), *values], link=link, is_code=True))
    return _write_table("name", titles, rows)


def _describe(name: str, entry: ReleasedCheckpoint) -> str:
    lines = [
        f"## {name}",
        "",
        f"- **Network:** {_network(entry)}, {entry.parameters / 1e6:.2f} million parameters",
        f"- **Input:** {entry.input.channels} x {entry.input.height} x {entry.input.width} (channels x height x width)",
        f"- **Classes:** {', '.join(entry.classes)}",
        f"- **Trained on:** {', '.join(entry.data.names)}, {entry.data.n} images before the split (hash "
        f"`{entry.data.hash}`, split `{entry.split_hash or 'several'}`), with acsnet {entry.code_version}",
        f"- **Intended use:** {entry.intended_use}",
        *(f"- **Limit:** {limit}" for limit in entry.limits),
        f"- **License:** {entry.license}",
        f"- **File:** `{entry.file}`, {entry.size} bytes, float16, SHA-256 `{entry.sha256}`",
        "",
        "```python",
        f'predictor = acsnet.Predictor.from_checkpoint("{name}")',
        "```",
        "",
        "Reproduce the training:",
        "",
        _commands(
            *entry.recipe.before,
            _command("train", entry.recipe.config, entry.recipe.overrides),
            *entry.recipe.after,
        ),
    ]
    for test in entry.tests:
        lines += _describe_test(name, test)
    if entry.crossval is not None:
        lines += _describe_crossval(name, entry.recipe.config, entry.crossval)
    if not entry.tests:
        lines += ["", "It has not been tested yet."]
    return "\n".join([*lines, ""])


def _describe_test(name: str, test: ReleasedTest) -> Iterator[str]:
    classes = ", ".join(f"{count} {label}" for label, count in test.classes.items())
    yield from ("", f"### {name} on {_tested_on(test)}", "")
    yield (
        f"{test.n} images ({classes}) in {test.groups} groups; {test.protocol}; mask threshold {test.threshold}; "
        f"images `{test.dataset_hash}`, split `{test.split_hash or 'none'}`."
    )
    yield from ("", _metric_table(test.metrics, test.level))
    if test.renormalized:
        values = [f"{key.replace('_', ' ')} {format_value(value)}" for key, value in test.renormalized.items()]
        yield from ("", f"Probabilities renormalized over the classes of these images: {', '.join(values)}.")
    if test.operating_points is not None:
        yield from _describe_operating_points(test.operating_points)
    yield from ("", "Worst cases:", "")
    cases = []
    for case in test.worst_cases:
        texts = (case.label, case.predicted or UNDEFINED, format_value(case.probability), format_value(case.dice))
        cases.append(Row(case.image, [*map(Cell, texts)]))
    yield _write_table("image", ["class", "predicted", "probability of its class", "Dice"], cases)
    command = _command("test", f"--checkpoint {name}", test.overrides)
    yield from ("", "Reproduce the metrics:", "", _commands(command))


def _describe_crossval(name: str, config: str, crossval: ReleasedCrossValidation) -> Iterator[str]:
    classes = ", ".join(f"{count} {label}" for label, count in crossval.classes.items())
    yield from ("", f"### {name}: {crossval.folds}-fold cross-validation of its recipe", "")
    yield (
        f"{crossval.n} images ({classes}) in {crossval.groups} groups, each predicted by the training that has not "
        "seen its group. The metrics are those of the recipe, not of the released file; their intervals are narrower."
    )
    yield from ("", _metric_table(crossval.metrics, crossval.level))
    command = _command("crossval", f"{config} --work-dir runs/{name}_crossval", crossval.overrides)
    yield from ("", "Reproduce the cross-validation:", "", _commands(command))


def _metric_table(metrics: Mapping[str, Estimate], level: float) -> str:
    rows = [Row(METRICS[key].title, [_cell(estimate), Cell(estimate.reason)]) for key, estimate in metrics.items()]
    return _write_table("metric", [f"estimate [{level:.0%} interval]", "note"], rows)


def _describe_operating_points(points: TestedOperatingPoints) -> Iterator[str]:
    counts = ", ".join(f"{count} {label}" for label, count in points.classes.items())
    mask = "that of the test" if points.mask_threshold is None else f"{points.mask_threshold:g}"
    yield from ("", f"Operating points, chosen on the {points.source} ({counts}); temperature {points.temperature:g};")
    yield f"mask threshold {mask}. Wilson intervals:"
    yield ""
    rows = []
    for name, point in points.points.items():
        rates = [rates[key] for rates in (point.chosen, point.tested) for key in ("sensitivity", "specificity")]
        rows.append(Row(name, [Cell(f"{point.threshold:.3f}"), *map(_rate_cell, rates)], is_code=True))
    titles = ["P(malignant) from", "sensitivity, chosen on", "specificity, chosen on", "sensitivity", "specificity"]
    yield _write_table("operating point", titles, rows)


def _rate_cell(rate: Rate) -> Cell:
    return _cell(Estimate(estimate=rate.value, low=rate.low, high=rate.high))


def _command(tool: str, arguments: str, overrides: tuple[str, ...]) -> str:
    return f"acsnet {tool} {arguments}" + "".join(f" --set {shlex.quote(override)}" for override in overrides)


def _commands(*commands: str) -> str:
    return "\n".join(["```bash", *commands, "```"])


def _network(entry: ReleasedCheckpoint, names: Sequence[str] | None = None) -> str:
    """Return the network or the members of an ensemble, with the arguments of these names, or with all."""
    if entry.networks:
        return describe_members([_with_arguments(own.model, own.arguments, names) for own in entry.networks])
    return describe_members([_with_arguments(entry.model, entry.arguments, names)] * entry.members)


def _with_arguments(model: str, arguments: Mapping[str, Any], names: Sequence[str] | None) -> str:
    shown = ", ".join(f"{key} {value}" for key, value in arguments.items() if names is None or key in names)
    return f"{model} ({shown})" if shown else model


def _tested_on(test: ReleasedTest) -> str:
    images = f"{', '.join(test.datasets)} ({'all images' if test.subset == 'all' else 'test subset'}, n = {test.n})"
    return ", ".join([images, *map(_setting, test.settings)])


def _setting(override: str) -> str:
    """Return a short form of an override: ``evaluation.refining={"a": true, "b": false}`` is ``refining: a``."""
    key, _, text = override.removeprefix("evaluation.").partition("=")
    value = json.loads(text)
    if isinstance(value, dict):
        value = ", ".join(name if inner is True else f"{name} {inner}" for name, inner in value.items() if inner)
    return f"{key}: {value}"


def _cell(estimate: Estimate | None) -> Cell:
    if estimate is None or estimate.estimate is None:
        return Cell(UNDEFINED)
    cell = Cell(format_value(estimate.estimate))
    if estimate.low is None or estimate.high is None:
        return cell
    return replace(cell, low=format_value(estimate.low), high=format_value(estimate.high))


def _write_table(row_header: str, titles: Sequence[str], rows: Sequence[Row]) -> str:
    return Table(row_header, [Column(title, align="left") for title in titles], rows).to_markdown()
