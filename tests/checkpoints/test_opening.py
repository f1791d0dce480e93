"""Every tool locates a checkpoint once, reads its header once and hashes its file once."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import acsnet
from acsnet._utils import download
from acsnet.checkpoints import Checkpoint, files, open_checkpoint, opening
from acsnet.config import build_config
from acsnet.errors import CheckpointError
from acsnet.export import pipeline
from acsnet.training import prepare_training

Invoke = Callable[..., tuple[int, str, str]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Counts of the calls that locate, read the header of and hash a checkpoint."""
    counts: Counter[str] = Counter()

    def count(module: Any, name: str) -> None:
        function = getattr(module, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            counts[name] += 1
            return function(*arguments, **options)

        monkeypatch.setattr(module, name, counted)

    count(opening, "locate_released_file")
    count(opening, "entry_of_file")
    count(opening, "read_header")
    for module in (files, opening):
        count(module, "file_sha256")
    return counts


BY_NAME = {"locate_released_file": 1, "read_header": 1, "file_sha256": 1}


def test_tool_test_opens_a_released_name_once(
    invoke: Invoke, trained: Path, phantom_root: Path, tmp_path: Path, calls: Counter[str]
) -> None:
    arguments = ["--set", f"data.root={phantom_root}", "--out", tmp_path / "out"]
    status, _, errors = invoke("test", "--checkpoint", "tiny", *arguments)
    assert status == 0, errors
    assert calls == BY_NAME
    assert download.file_sha256(trained) in (tmp_path / "out" / "metrics.json").read_text()


def test_tool_test_hashes_an_own_file_once(
    invoke: Invoke, trained_run: Path, folder: Path, tmp_path: Path, calls: Counter[str]
) -> None:
    (folder / "index.json").write_text("{}")
    status, _, errors = invoke("test", "--checkpoint", trained_run / "best.safetensors", "--out", tmp_path / "out")
    assert status == 0, errors
    assert calls == {"entry_of_file": 1, "read_header": 1, "file_sha256": 1}


@pytest.mark.usefixtures("trained")
def test_tool_predict_opens_a_released_name_once(
    invoke: Invoke, phantom_root: Path, tmp_path: Path, calls: Counter[str]
) -> None:
    image = phantom_root / "benign" / "benign (1).png"
    status, _, errors = invoke("predict", "--checkpoint", "tiny", image, "--out", tmp_path / "out")
    assert status == 0, errors
    assert calls == BY_NAME


@pytest.mark.usefixtures("trained")
def test_tool_export_opens_a_released_name_once(
    invoke: Invoke, tmp_path: Path, calls: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # With a fixed size only, which is much faster.
    monkeypatch.setattr(pipeline, "_DYNAMIC_CHOICES", ((),))
    out = tmp_path / "tiny.pt2"
    status, _, errors = invoke("export", "--checkpoint", "tiny", "--format", "torch", "--out", out)
    assert status == 0, errors
    assert calls == BY_NAME


@pytest.mark.usefixtures("trained")
def test_a_training_opens_its_teacher_and_its_initial_weights_once(
    tiny_settings: dict[str, Any], calls: Counter[str]
) -> None:
    taught = build_config(tiny_settings, ["loss.distillation.teacher=tiny"], "test")
    prepared = prepare_training(taught, progress=False)
    assert prepared.teacher is not None
    assert prepared.teacher.record[0]["model"] == "acsnet"
    assert calls == BY_NAME
    calls.clear()
    continued = build_config(tiny_settings, ["model.initial_weights=tiny"], "test")
    assert prepare_training(continued, progress=False).initial is not None
    assert calls == BY_NAME


@pytest.mark.usefixtures("trained")
def test_a_network_is_loaded_from_one_opened_checkpoint(calls: Counter[str]) -> None:
    checkpoint = open_checkpoint("tiny")
    assert open_checkpoint(checkpoint) is checkpoint
    assert acsnet.load_model(checkpoint).metadata is checkpoint.metadata
    acsnet.Predictor.from_checkpoint(checkpoint)
    metadata = checkpoint.metadata
    acsnet.create_model(metadata.model, checkpoint=checkpoint, **metadata.arguments)
    assert checkpoint.sha256 == checkpoint.sha256
    assert calls == BY_NAME


def test_the_size_is_checked_before_the_hash(trained: Path, calls: Counter[str]) -> None:
    trained.write_bytes(trained.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="is truncated or not the released file"):
        open_checkpoint("tiny")
    assert calls["file_sha256"] == 0
    assert calls["read_header"] == 0


def test_an_opened_checkpoint_cannot_be_changed(trained: Path) -> None:
    by_name, by_path = open_checkpoint("tiny"), open_checkpoint(trained)
    assert (by_name.released_name, by_path.released_name) == ("tiny", None)
    assert by_name.sha256 == by_path.sha256 == download.file_sha256(trained)
    with pytest.raises(AttributeError, match="cannot assign to field 'path'"):
        by_name.path = Path("other")  # type: ignore[misc]
    assert isinstance(by_name, Checkpoint)
