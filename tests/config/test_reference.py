"""The keys of a configuration with their types, defaults and descriptions."""

from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from acsnet.config import Config, describe_keys, list_keys
from acsnet.config.bounds import NumberOrWord
from acsnet.errors import UnknownNameError
from scripts.configuration import PAGE, configuration_page
from scripts.pages import check_fresh

Invoke = Callable[..., tuple[int, str, str]]
ENTRIES = {entry.key: entry for entry in list_keys()}


def sections(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from sections(kind)


def test_every_field_of_every_section_is_a_key_with_a_description() -> None:
    names = {name for section in sections(Config) for name in section.model_fields}
    assert {key.rpartition(".")[2].removesuffix("[]") for key in ENTRIES} == names
    for key, entry in ENTRIES.items():
        assert entry.description.endswith("."), key
        assert entry.type, key


@pytest.mark.parametrize(
    ("key", "words", "default"),
    [
        ("training.epochs", "whole number of at least 1", "90"),
        ("data.workers", "whole number from 0 to 1024", "0"),
        ("data.folds.test", "number above 0 and at most 0.5, or null", "null"),
        ("data.folds.validation", "number above 0 and up to 0.5, or test", "0.125"),
        ("evaluation.threshold", "number above 0 and below 1, or validation", "0.5"),
        ("optimizer.epsilon", "number above 0", "1.0e-08"),
        ("evaluation.postprocessing.minimum_area", "number of at least 0 and below 1", "0.0"),
        ("schedule.name", "cosine, poly, plateau or constant", "cosine"),
        ("data.oversample", "false, largest_class or aumente2025", "false"),
        ("data.image_size", "list of 2 whole numbers, each from 1 to 4096", "[256, 256]"),
        ("data.mean", "list of numbers, each from 0 to 1, at least 1 item, or null", "null"),
        (
            "evaluation.test_time_augmentation.scales",
            "list of numbers, each above 0, at least 1 item, at most 16 items",
            "[1.0]",
        ),
        ("data.records", "list of paths, at least 1 item, or null", "null"),
        ("model.tasks", "list of segmentation or classification, at least 1 item", "[segmentation, classification]"),
        ("model.arguments", "mapping of text to any value", "{}"),
        ("optimizer.rates", "mapping of text to number above 0", "{}"),
        ("training.selection", "mapping of text to number", "{dice: 0.7, accuracy: 0.3}"),
        ("model.name", "text", "required"),
        ("model", "section", "required"),
        ("data", "section", ""),
        ("training.freeze", "section, or null", "null"),
        ("loss.segmentation[]", "list of sections, at least 1 item", "[{name: dice}]"),
        ("augmentation[]", "list of sections", "[]"),
    ],
)
def test_values_and_default_in_words(key: str, words: str, default: str) -> None:
    assert (ENTRIES[key].type, ENTRIES[key].default) == (words, default)
    assert ENTRIES[key].is_section == words.startswith(("section", "list of sections"))


@pytest.mark.parametrize(
    ("patterns", "keys"),
    [
        (["training.epochs"], ["training.epochs"]),
        (["*.epochs", "training.seed"], ["training.epochs", "training.freeze.epochs", "training.seed"]),
        (["data.folds"], [key for key in ENTRIES if key.startswith("data.folds")]),
        (["loss.segmentation.weight"], ["loss.segmentation[].weight"]),
        (["loss.classification[].name"], ["loss.classification[].name"]),
        ([], [*ENTRIES]),
    ],
)
def test_patterns_select_keys(patterns: list[str], keys: list[str]) -> None:
    assert [entry.key for entry in list_keys(patterns)] == keys


@pytest.mark.parametrize(
    ("pattern", "near"), [("training.epoch", "training.epochs"), ("optimizr", "optimizer"), ("xyz*", "")]
)
def test_an_unknown_key_is_named_with_near_ones(pattern: str, near: str) -> None:
    guess = f": did you mean '{near}'" if near else ""
    with pytest.raises(UnknownNameError, match=f"unknown key '{pattern.replace('*', '.')}'{guess}.*configs --keys"):
        describe_keys([pattern])


def test_keys_on_the_command_line(invoke: Invoke) -> None:
    status, output, errors = invoke("configs", "--keys", "data.folds.test", "data")
    assert (status, errors) == (0, "")
    lines = output.splitlines()
    assert lines[:2] == ["data: section", "    The images, their classes and their split."]
    assert "data.folds.test: number above 0 and at most 0.5, or null (default: null)" in lines
    assert invoke("configs", "--keys")[1].startswith("protocol: section, or null (default: null)\n")
    for options in (["--out", "x"], ["--copy", "unet_busi"]):
        status, _, errors = invoke("configs", "--keys", *options)
        assert (status, errors) == (2, "error: --keys lists keys and copies nothing: remove --copy and --out\n")


@pytest.mark.parametrize(
    ("check", "good", "bad", "message"),
    [
        (
            NumberOrWord(1, "validation"),
            [0.5, 1e-9, "validation"],
            [0, 1, True, "val", None],
            "above 0 and below 1 nor",
        ),
        (NumberOrWord(0.5, "test", allows_limit=True), [0.5, "test"], [0, 0.51, "x"], "above 0 and up to 0.5 nor"),
        (NumberOrWord(2, "auto"), [1, 1.9], [2, -1], "above 0 and below 2 nor the word 'auto'"),
    ],
)
def test_a_number_or_a_word(check: NumberOrWord, good: list[Any], bad: list[Any], message: str) -> None:
    assert [check(value) for value in good] == good
    for value in bad:
        with pytest.raises(ValueError, match=message):
            check(value)


def test_the_page_is_fresh() -> None:
    check_fresh(PAGE, configuration_page(), "scripts.configuration")
