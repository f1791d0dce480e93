"""Public functions take paths as strings, and one path for a list."""

import importlib
import inspect
import pkgutil
from pathlib import Path
from typing import Any

import pytest

import acsnet
from acsnet.checkpoints import read_metadata, save_checkpoint
from acsnet.config import load_config, load_configs
from acsnet.data import read_busi, read_record_table, write_record_table
from acsnet.inference import find_images
from acsnet.phantom import write_phantoms

ROOMS = ["acsnet", *(f"acsnet.{room.name}" for room in pkgutil.iter_modules(acsnet.__path__) if room.name[0] != "_")]


def public_functions() -> list[tuple[str, Any]]:
    rooms = [importlib.import_module(name) for name in ROOMS]
    found = {value for room in rooms for name in getattr(room, "__all__", ()) if callable(value := getattr(room, name))}
    return sorted((f"{value.__module__}.{value.__qualname__}", value) for value in found if inspect.isfunction(value))


@pytest.mark.parametrize(("name", "function"), public_functions())
def test_paths_may_be_strings(name: str, function: Any) -> None:
    for parameter in inspect.signature(function).parameters.values():
        annotation = str(parameter.annotation)
        assert "Path" not in annotation or "str" in annotation, f"{name}({parameter.name}: {annotation})"


def test_strings_are_the_paths_that_they_name(tmp_path: Path, phantom_root: Path, tiny_config: Path) -> None:
    records = read_busi(str(phantom_root))
    assert records == read_busi(phantom_root)
    table = tmp_path / "records.csv"
    write_record_table(str(table), records)
    assert read_record_table(str(table)) == read_record_table(table)
    assert load_config(str(tiny_config)) == load_config(tiny_config)
    write_phantoms(str(tmp_path / "phantoms"), {"benign": 1}, 0, (64, 64), progress=False)
    assert len(read_busi(tmp_path / "phantoms")) == 1


def test_a_single_path_is_a_list_of_one(phantom_root: Path, tiny_config: Path) -> None:
    folder = phantom_root / "normal"
    assert find_images(str(folder)) == find_images(folder) == find_images([folder])
    assert load_configs(tiny_config) == load_configs([str(tiny_config)])


def test_a_checkpoint_is_written_to_a_string(tmp_path: Path, trained_run: Path) -> None:
    metadata = read_metadata(str(trained_run / "best.safetensors"))
    save_checkpoint(str(tmp_path / "copy.safetensors"), {}, metadata)
    assert read_metadata(tmp_path / "copy.safetensors") == metadata
