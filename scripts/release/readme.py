"""What is made of the index alone: ``checkpoints/README.md``, a card of each checkpoint, and the clone's table."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

from acsnet._utils.files import replace_section, write_json, write_text
from acsnet.checkpoints import Figure, ReleasedCheckpoint, ReleasedTest, ReleaseIndex
from acsnet.checkpoints.index import INDEX_NAME
from acsnet.statistics import METRICS

README_NAME = "README.md"
SECTION = "released"
_HEAD = """# Released checkpoints

Made of `index.json` by `python -m scripts.release`; do not edit. Figures are those of the files that lie here, with
95 % intervals from a bootstrap of groups of images.
"""
# What the table at the top shows of each test.
_OVERVIEW = ("dice_lesion", "dice_normal", "accuracy", "f1_macro", "auroc_malignant")
_NONE = """There are none yet. The README of the repository says how one is released.
"""


def write_index(folder: Path, index: ReleaseIndex) -> None:
    """Write an index, sorted by name, and the READMEs that are made of it.

    Raises:
        InputError: where the README of the clone has no place for the table.
    """
    ordered = index.model_copy(update={"checkpoints": dict(sorted(index.checkpoints.items()))})
    texts = readmes(folder, ordered)
    write_json(folder / INDEX_NAME, ordered.model_dump(mode="json"))
    for path, text in texts.items():
        write_text(path, text)


def readmes(folder: Path, index: ReleaseIndex) -> dict[Path, str]:
    """The READMEs with what they have to say of an index: the folder's, and the clone's where there is one.

    Raises:
        InputError: as above.
    """
    texts = {folder / README_NAME: release_readme(index)}
    front = folder.parent / README_NAME
    if front.is_file():
        texts[front] = replace_section(front, SECTION, lambda: _table(index, f"{folder.name}/{README_NAME}"))
    return texts


def release_readme(index: ReleaseIndex) -> str:
    """The cards of all released checkpoints in Markdown."""
    if not index.checkpoints:
        return f"{_HEAD}\n{_NONE}"
    return "\n".join([_HEAD, _table(index), "", *(_metadata(name, entry) for name, entry in index.checkpoints.items())])


def _table(index: ReleaseIndex, page: str = "") -> str:
    """All tests of all checkpoints, a row each, with links to the cards on a page, by default the same."""
    return "\n".join(_overview(index, page))


def _overview(index: ReleaseIndex, page: str) -> Iterator[str]:
    yield from _rows(["name", "network", "trained on", "MB", "tested on", *(METRICS[key].title for key in _OVERVIEW)])
    for name, entry in index.checkpoints.items():
        for test in entry.tests or (None,):
            figures = ["-"] * (1 + len(_OVERVIEW))
            if test is not None:
                # A network of one task has no figures of the other.
                found = [test.metrics.get(key) for key in _OVERVIEW]
                figures = [_tested_on(test), *("-" if figure is None else _interval(figure) for figure in found)]
            trained = ", ".join(entry.data.names)
            yield _row([f"[`{name}`]({page}#{name})", _network(entry), trained, f"{entry.size / 1e6:.1f}", *figures])


def _metadata(name: str, entry: ReleasedCheckpoint) -> str:
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
        "Train it again:",
        "",
        _commands(*entry.recipe.before, _command("train", entry.recipe.config, entry.recipe.overrides)),
    ]
    for test in entry.tests:
        lines += _test(name, test)
    if not entry.tests:
        lines += ["", "It has no figures yet."]
    return "\n".join([*lines, ""])


def _test(name: str, test: ReleasedTest) -> Iterator[str]:
    classes = ", ".join(f"{count} {label}" for label, count in test.classes.items())
    yield from ("", f"### {name} on {_tested_on(test)}", "")
    yield (
        f"{test.n} images ({classes}) in {test.groups} groups; {test.protocol}; mask threshold {test.threshold}; "
        f"images `{test.dataset_hash}`, split `{test.split_hash or 'none'}`."
    )
    yield ""
    yield from _rows(["measure", f"estimate [{test.level:.0%} interval]", "note"])
    for key, figure in test.metrics.items():
        yield _row([METRICS[key].title, _interval(figure), figure.reason])
    yield from ("", "Where it fails:", "")
    yield from _rows(["image", "class", "predicted", "probability of its class", "Dice"])
    for case in test.worst_cases:
        yield _row([case.image, case.label, case.predicted or "-", _number(case.probability), _number(case.dice)])
    yield from ("", "The same figures again:", "", _commands(_command("test", f"--checkpoint {name}", test.overrides)))


def _command(tool: str, arguments: str, overrides: tuple[str, ...]) -> str:
    return f"tools/{tool}.py {arguments}" + "".join(f" --set {shlex.quote(override)}" for override in overrides)


def _commands(*commands: str) -> str:
    return "\n".join(["```bash", *(f"python {command}" for command in commands), "```"])


def _network(entry: ReleasedCheckpoint) -> str:
    arguments = ", ".join(f"{key} {value}" for key, value in entry.arguments.items())
    network = f"{entry.model} ({arguments})" if arguments else entry.model
    return network if entry.members == 1 else f"ensemble of {entry.members} {network}"


def _tested_on(test: ReleasedTest) -> str:
    images = f"{', '.join(test.datasets)} ({'all images' if test.subset == 'all' else 'test subset'}, n = {test.n})"
    return ", ".join([images, *map(_setting, test.settings)])


def _setting(override: str) -> str:
    """What an override sets, shorter: ``evaluation.refining={"a": true, "b": false}`` is ``refining: a``."""
    key, _, text = override.removeprefix("evaluation.").partition("=")
    value = json.loads(text)
    if isinstance(value, dict):
        value = ", ".join(name if inner is True else f"{name} {inner}" for name, inner in value.items() if inner)
    return f"{key}: {value}"


def _interval(figure: Figure) -> str:
    if figure.estimate is None:
        return "-"
    if figure.low is None or figure.high is None:
        return f"{figure.estimate:.3f}"
    return f"{figure.estimate:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _rows(titles: list[str]) -> Iterator[str]:
    yield _row(titles)
    yield _row(["---"] * len(titles))


def _row(cells: list[str]) -> str:
    # What parts cells may not stand in one.
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
