"""The page "Reproduction" as Markdown, from facts.yaml, the configurations, published.yaml and results.json."""

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import torch
import yaml

from acsnet._utils.tables import README_STYLE, Table
from acsnet.config import Config, load_config
from acsnet.report.published import Publication, find_method, read_published
from acsnet.training.builders import build_model
from acsnet.training.normalization import resolve_normalization
from scripts.reproduction.results import ROOT, read_results

PAGE = ROOT / "docs" / "reproduction.md"
FACTS = Path(__file__).with_name("facts.yaml")

_INTRODUCTION = """---
hide: [toc]
---

# Reproduction

<!-- Written by python -m scripts.reproduction from facts.yaml, results.json and the configurations. -->

`configs/published/` follows each publication to the letter, including what is not good practice: three of the four
select the best epoch on the images that they test. Such runs are marked "selected on the test subset" in their metrics,
reports and checkpoints. The recommended configurations differ where they have to in order to be honest. Tables below
compare both with the publication, item by item.
"""


def build_page() -> str:
    """Return the page."""
    facts = yaml.safe_load(FACTS.read_text(encoding="utf-8"))
    return "\n".join([_INTRODUCTION, *(_section(publication) for publication in facts)])


def _section(facts: Mapping[str, Any]) -> str:
    published, recommended = (_load(ROOT / facts[key]) for key in ("published", "recommended"))
    rows = [["item", "published", f"`{facts['published']}`", f"`{facts['recommended']}`", "why they differ"]]
    rows += [_row(item, published, recommended) for item in facts["items"]]
    parts = [f"## {facts['title']}", facts["citation"] + ".", _markdown(rows, left=rows[0])]
    parts += _metric_tables(facts["key"])
    return "\n\n".join(parts) + "\n"


def _load(path: Path) -> Config:
    """Load a configuration with the normalization of its trainings; those with encoder weights set it."""
    config = load_config(path)
    return config if config.model.encoder_weights is not None else resolve_normalization(config, ())


def _row(item: Mapping[str, Any], published: Config, recommended: Config) -> list[str]:
    keys = item["keys"]
    here, ours = _values(published, keys), _values(recommended, keys)
    ours = "same" if ours == here else ours
    if "parameters" in item:
        count = _parameters(published)
        agrees = "as published" if count == item["parameters"] else "NOT as published"
        here += f"; {count:,} parameters, {agrees}"
    return [item["item"], item["published"], here, ours, item.get("why", "")]


def _values(config: Config, keys: Sequence[str]) -> str:
    """Return the values of dotted keys as short YAML, each as code, because Markdown gives braces a meaning."""
    content = config.to_dict()
    found = ((key, reduce(_member, key.split("."), content)) for key in keys)
    return "; ".join(f"`{key.split('.')[-1]}: {_short(value)}`" for key, value in found)


def _member(content: Any, key: str) -> Any:
    return None if content is None else content[key]


def _short(value: Any) -> str:
    text = yaml.safe_dump(_rounded(value), default_flow_style=True, sort_keys=False, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items() if item not in ({}, None)}
    return value


def _parameters(config: Config) -> int:
    with torch.device("meta"):
        model = build_model(config.model.model_copy(update={"encoder_weights": None}), config.data.classes)
    return sum(parameter.numel() for parameter in model.parameters())


def _metric_tables(key: str) -> Iterator[str]:
    """Yield the published metrics of a publication, and those of trainings by its protocol next to them."""
    # A method may be found by several configurations.
    by_name = {found.method: found for found in read_published().values() if found.publication.metrics == key}
    methods = [*by_name.values()]
    if not methods:
        return
    publication, trained = methods[0].publication, _trained(key)
    table = [["method", "", *publication.columns.values()]]
    for published in methods:
        table.append([published.method, "published", *_cells(published.values, publication)])
        table += [
            ["", _extent(name, result), *_cells(result["published"], publication)]
            for name, result in trained.items()
            if result["method"] == published.method
        ]
    yield f"Metrics as the publication counts them. Published: {publication.setting}."
    yield _markdown(table, left=[""])
    for name, result in trained.items():
        ours = ", ".join(f"{metric} {value:.3f}" for metric, value in result["ours"].items() if value is not None)
        yield f"The same predictions of `{name}` as this project counts them: {ours}."


def _trained(key: str) -> dict[str, dict[str, Any]]:
    """Return the results of a publication's configurations with the names of their published methods."""
    found = {}
    for name, result in read_results().items():
        config = load_config(ROOT / "configs" / "published" / f"{name}.yaml")
        published = find_method(config, config.evaluation.model_dump(mode="json"))
        if name.startswith(f"{key}/") and published is not None:
            found[name] = {**result, "method": published.method}
    return found


def _extent(name: str, result: Mapping[str, Any]) -> str:
    fold = "one split" if result["fold"] is None else f"fold {result['fold']} alone"
    epochs = f"{result['epochs']} of at most {result['published_epochs']} epochs"
    precision = "" if result["precision"] == "float32" else f", {result['precision']}"
    images = f"{result['train_images']} images to train, {result['test_images']} tested"
    return f"`{name}`: {fold}, {epochs}, {images}{precision}"


def _cells(values: Mapping[str, float], publication: Publication) -> list[str]:
    return ["" if values.get(column) is None else f"{values[column]:.3f}" for column in publication.columns]


def _markdown(rows: Sequence[Sequence[str]], left: Sequence[str]) -> str:
    return Table.from_rows(rows, left=left).to_markdown(README_STYLE)
