"""Metadata that no version of the package writes: refused in one line when the file is opened."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from acsnet._utils.json_text import MAX_DEPTH, parse_json
from acsnet.checkpoints import CheckpointMetadata, read_metadata
from acsnet.config.bounds import MAX_BATCH, MAX_SIDE
from acsnet.errors import CheckpointError, InputError
from acsnet.models._convert_he2024 import import_he2024_file

METADATA: dict[str, Any] = {
    "format": 1,
    "model": "unet",
    "arguments": {"in_channels": 3, "width": 4, "depth": 2},
    "class_names": ["benign", "malignant", "normal"],
    "input_size": [32, 32],
    "mean": [0.3],
    "std": [0.2],
}
POINT = {
    "threshold": 0.5,
    "aim": "sensitivity",
    "target": 0.9,
    "sensitivity": {"value": 0.9, "low": 0.8, "high": 1.0, "n": 20},
    "specificity": {"value": 0.9, "low": 0.8, "high": 1.0, "n": 40},
}
POINTS: dict[str, Any] = {
    "temperature": 1.5,
    "negative_log_likelihood": [0.6, 0.5],
    "points": {"sensitivity_90": POINT},
    "classes": {"benign": 40, "malignant": 20},
    "source": "validation subset",
}


def write(path: Path, text: str) -> Path:
    save_file({"weight": torch.zeros(2)}, path, metadata={"acsnet": text})
    return path


def refuse(tmp_path: Path, text: str) -> str:
    """Return the message without the path."""
    path = write(tmp_path / "crafted.safetensors", text)
    with pytest.raises(CheckpointError) as caught:
        read_metadata(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: the metadata ")
    assert message.isprintable(), "neither line breaks nor escape sequences"
    assert len(message) < 1000
    return message.removeprefix(f"{path}: the metadata ")


def test_valid_metadata_is_read(tmp_path: Path) -> None:
    content = {**METADATA, "operating_points": POINTS, "dataset": {"names": ["busi"], "n": 3, "hash": "ab"}}
    metadata = read_metadata(write(tmp_path / "a.safetensors", json.dumps(content)))
    assert metadata.operating_points is not None
    assert metadata.operating_points.points["sensitivity_90"].threshold == 0.5


# --- JSON ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000 + "]" * 100_000, f"it is nested deeper than {MAX_DEPTH}"),
        ('{"metrics":' * 100_000 + "1" + "}" * 100_000, f"it is nested deeper than {MAX_DEPTH}"),
        ('{"a": ' + "[" * MAX_DEPTH + "]" * MAX_DEPTH + "}", f"it is nested deeper than {MAX_DEPTH}"),
        ('{"mean": [NaN]}', "NaN is not a number of JSON"),
        ('{"metrics": {"loss": Infinity}}', "Infinity is not a number of JSON"),
        ('{"metrics": [-Infinity]}', "-Infinity is not a number of JSON"),
        ('{"std": [1e999]}', "the number 1e999 is too large"),
        ('{"model": "a", "model": "b"}', "the key 'model' stands twice in one object"),
        ('{"arguments": {"width": 4, "width": 8}}', "the key 'width' stands twice in one object"),
        ('{"\\u001b[31m": 1, "\\u001b[31m": 2}', "the key '\\x1b[31m' stands twice in one object"),
    ],
    ids=range(10),
)
def test_json_that_is_not_read(tmp_path: Path, text: str, reason: str) -> None:
    assert refuse(tmp_path, text) == f"is not valid JSON ({reason}): copy the file again"


def test_a_number_of_many_digits(tmp_path: Path) -> None:
    assert refuse(tmp_path, '{"format": ' + "9" * 100_000 + "}").startswith("is not valid JSON (Exceeds the limit")


@pytest.mark.parametrize("version", [2, "1" * 10**5, [1] * 10**5, {"a\x1b": 1}], ids=["2", "text", "list", "object"])
def test_another_format(tmp_path: Path, version: Any) -> None:
    path = write(tmp_path / "a.safetensors", json.dumps({**METADATA, "format": version}))
    with pytest.raises(
        CheckpointError, match=r"has checkpoint format .{1,40}, this version of acsnet reads 1: upgrade"
    ):
        read_metadata(path)


def test_nesting_within_the_limit_is_read() -> None:
    content = parse_json("[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1))
    for _ in range(MAX_DEPTH - 2):
        (content,) = content
    assert content == []


# --- types and ranges ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"model": ["unet"]}, "model"),
        ({"model": ""}, "model"),
        ({"members": 0}, "members"),
        ({"members": True}, "members"),
        ({"members": 10**30}, "members"),
        ({"members": "2"}, "members"),
        ({"arguments": ["width", 4]}, "arguments"),
        ({"arguments": {"a" * 201: 4}}, f"arguments.{'a' * 201}.[key]"[:200]),
        ({"arguments": {"a\x1b": 4}}, "arguments.a\x1b.[key]"),
        ({"arguments": {"in_channels": "3"}}, "arguments.in_channels"),
        ({"arguments": {"in_channels": 10**9}}, "arguments.in_channels"),
        ({"arguments": {"tasks": ["segmentation", "detection"]}}, "arguments.tasks.1"),
        ({"arguments": {"tasks": "segmentation"}}, "arguments.tasks"),
        ({"class_names": []}, "class_names"),
        ({"class_names": "benign"}, "class_names"),
        ({"class_names": {"benign": 0}}, "class_names"),
        ({"class_names": ["benign", ""]}, "class_names.1"),
        ({"class_names": ["benign", " "]}, "class_names.1"),
        ({"class_names": ["benign", 3]}, "class_names.1"),
        ({"class_names": ["benign", "\x1b[31mred"]}, "class_names.1"),
        ({"class_names": ["a\nb", "c"]}, "class_names.0"),
        ({"class_names": ["a\u202eb", "c"]}, "class_names.0"),
        ({"class_names": ["a" * 1000, "c"]}, "class_names.0"),
        ({"class_names": ["benign", "benign"]}, "class_names"),
        ({"input_size": [1_000_000, 1_000_000]}, "input_size.0"),
        ({"input_size": [32, MAX_SIDE + 1]}, "input_size.1"),
        ({"input_size": [32, 0]}, "input_size.1"),
        ({"input_size": [-32, 32]}, "input_size.0"),
        ({"input_size": [32]}, "input_size.1"),
        ({"input_size": [32.5, 32]}, "input_size.0"),
        ({"input_size": ["32", 32]}, "input_size.0"),
        ({"crop_margins": "yes"}, "crop_margins"),
        ({"keep_aspect": 1}, "keep_aspect"),
        ({"mean": []}, "mean"),
        ({"mean": ["0.3"]}, "mean.0"),
        ({"mean": [-0.1]}, "mean.0"),
        ({"mean": [128]}, "mean.0"),
        ({"mean": {"r": 0.3}}, "mean"),
        ({"std": [0]}, "std.0"),
        ({"std": [-0.2]}, "std.0"),
        ({"std": [1e-300]}, "std.0"),
        ({"std": [None]}, "std.0"),
        ({"std": [1e300]}, "std.0"),
        ({"dataset": ["busi"]}, "dataset"),
        ({"dataset": {"names": "busi"}}, "dataset.names"),
        ({"dataset": {"names": ["a\rb"]}}, "dataset.names.0"),
        ({"dataset": {"n": -1}}, "dataset.n"),
        ({"dataset": {"hash": 3}}, "dataset.hash"),
        ({"metrics": [1]}, "metrics"),
        ({"split_hash": "a\x07"}, "split_hash"),
        ({"code_version": 1}, "code_version"),
        ({"config": []}, "config"),
        ({"config": {"loss": []}}, "config.loss"),
        ({"config": {"loss": {"distillation": "teacher"}}}, "config.loss.distillation"),
        ({"config": {"data": "busi"}}, "config.data"),
        ({"config": {"evaluation": None}}, "config.evaluation"),
        ({"config": {"evaluation": {"batch_size": MAX_BATCH + 1}}}, "config.evaluation.batch_size"),
        (
            {"config": {"evaluation": {"test_time_augmentation": {"scales": []}}}},
            "config.evaluation.test_time_augmentation.scales",
        ),
        (
            {"config": {"evaluation": {"test_time_augmentation": {"scales": [1 + i / 100 for i in range(17)]}}}},
            "config.evaluation.test_time_augmentation.scales",
        ),
        ({"operating_points": []}, "operating_points"),
        ({"operating_points": {**POINTS, "temperature": 0}}, "operating_points.temperature"),
        ({"operating_points": {**POINTS, "temperature": "1.5"}}, "operating_points.temperature"),
        ({"operating_points": {**POINTS, "level": 95}}, "operating_points.level"),
        ({"operating_points": {**POINTS, "classes": {"benign": -1}}}, "operating_points.classes.benign"),
        ({"operating_points": {**POINTS, "points": {"a": {**POINT, "target": 2}}}}, "operating_points.points.a.target"),
        ({"operating_points": {**POINTS, "mask_threshold": 1}}, "operating_points.mask_threshold"),
    ],
    ids=str,
)  # fmt: skip
def test_entries_of_another_type_or_out_of_range(tmp_path: Path, changes: dict[str, Any], key: str) -> None:
    message = refuse(tmp_path, json.dumps({**METADATA, **changes}))
    assert message.startswith(f"entry {key!r} is invalid: ")


@pytest.mark.parametrize("name", ["\x1b[2J", "a\nb", "\x00"], ids=["escape", "line", "null"])
def test_names_of_operating_points_are_printable(tmp_path: Path, name: str) -> None:
    points = {**POINTS, "points": {name: POINT}}
    assert "has control characters" in refuse(tmp_path, json.dumps({**METADATA, "operating_points": points}))


@pytest.mark.parametrize(
    ("scales", "size", "side", "scale"),
    [([1000], [256, 256], 256, "1000"), ([1, 3], [64, 2048], 2048, "3"), ([1e6], [1, 5], 5, "1e+06")],
)
def test_an_image_that_is_scaled_beyond_memory(
    tmp_path: Path, scales: list[float], size: list[int], side: int, scale: str
) -> None:
    config = {"evaluation": {"test_time_augmentation": {"scales": scales}}}
    assert refuse(tmp_path, json.dumps({**METADATA, "input_size": size, "config": config})) == (
        f"is invalid: a side of {side} pixels at scale {scale} has more than {MAX_SIDE}: lower the scale of test-time "
        "augmentation, or the image size"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": [0.3, 0.3]}, "mean has 2 values for 3 channels: expected one, or one per channel"),
        ({"std": [0.2] * 4}, "std has 4 values for 3 channels: expected one, or one per channel"),
        (
            {"arguments": {"in_channels": 1}, "mean": [0.3] * 3},
            "mean has 3 values for 1 channels: expected one, or one ",
        ),
    ],
)
def test_the_normalization_is_one_of_the_channels(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    assert refuse(tmp_path, json.dumps({**METADATA, **changes})).startswith(f"is invalid: {message}")


@pytest.mark.parametrize("changes", [{"std": (0,)}, {"class_names": ("",)}, {"input_size": (10**6, 1)}])
def test_metadata_of_this_package_is_checked_before_it_is_written(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CheckpointMetadata.model_validate({**METADATA, **changes})


@pytest.mark.parametrize(
    ("mean", "std", "names", "message"),
    [
        (0.3, 0.0, ["a", "b"], "entry 'std.0' is invalid: Input should be greater than or equal to 0.001"),
        (-1.0, 0.2, ["a", "b"], "entry 'mean.0' is invalid: Input should be greater than or equal to 0"),
        (0.3, 0.2, ["a", "a"], "entry 'class_names' is invalid: "),
        (0.3, 0.2, ["a", "\x1b"], "entry 'class_names.1' is invalid: "),
    ],
)
def test_an_import_with_invalid_values_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mean: float, std: float, names: list[str], message: str
) -> None:
    module = "acsnet.models._convert_he2024"
    monkeypatch.setattr(f"{module}.read_weights", lambda path: {})
    monkeypatch.setattr(f"{module}.convert_he2024", lambda *_: {"cls_head.classify.2.bias": torch.zeros(2)})
    out = tmp_path / "out.safetensors"
    with pytest.raises(InputError) as caught:
        import_he2024_file(tmp_path / "a.safetensors", out, names, mean=mean, std=std)
    assert str(caught.value).startswith(f"the metadata of {out} would not be valid: {message}")
    assert not out.exists()
