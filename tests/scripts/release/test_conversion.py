import json
from pathlib import Path
from typing import Any

import pytest
import torch

import acsnet
from acsnet._utils.download import file_sha256
from acsnet.checkpoints import CheckpointMetadata, read_index, read_metadata, read_weights, save_checkpoint
from acsnet.errors import CheckpointError, InputError
from acsnet.experiments.ensembling import save_ensemble
from scripts.release import conversion, release_checkpoint

CONFIG = Path("configs/tiny.yaml")


@pytest.fixture
def changed(trained_run: Path, tmp_path: Path) -> Any:
    """Writes the trained checkpoint with another card or other weights."""

    def write(weights: dict[str, torch.Tensor] | None = None, **update: Any) -> Path:
        source = trained_run / "best.safetensors"
        path = tmp_path / "changed.safetensors"
        save_checkpoint(path, weights or read_weights(source), read_metadata(source).model_copy(update=update))
        return path

    return write


def release(checkpoint: Path, clone: Path, name: str = "tiny", overrides: tuple[str, ...] = ()) -> float:
    return release_checkpoint(checkpoint, name, CONFIG, overrides, "CC0-1.0", ["Small."], clone / "checkpoints")


def test_the_file_is_the_checkpoint_in_half_precision(clone: Path, trained_run: Path) -> None:
    original = trained_run / "best.safetensors"
    difference = release(original, clone)
    path = clone / "checkpoints" / "tiny.safetensors"
    halves, wholes = read_weights(path), read_weights(original)
    assert halves.keys() == wholes.keys()
    for key, value in wholes.items():
        assert torch.equal(halves[key], value.half() if value.is_floating_point() else value), key
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours, theirs = acsnet.load_model("tiny")(images), acsnet.load_model(original)(images)
    masks = (ours.mask.sigmoid() - theirs.mask.sigmoid()).abs().max()
    labels = (ours.label.softmax(1) - theirs.label.softmax(1)).abs().max()
    assert difference == max(masks, labels)
    assert 0 < difference < conversion.PROBABILITY_TOLERANCE
    assert {entry.name for entry in (clone / "checkpoints").iterdir()} == {
        "tiny.safetensors",
        "index.json",
        "README.md",
    }


def test_the_entry(clone: Path, trained_run: Path) -> None:
    release(trained_run / "best.safetensors", clone)
    metadata, entry = read_metadata(trained_run / "best.safetensors"), read_index().checkpoints["tiny"]
    path = clone / "checkpoints" / "tiny.safetensors"
    assert (entry.file, entry.size, entry.sha256) == (path.name, path.stat().st_size, file_sha256(path))
    assert (entry.model, entry.members, entry.classes) == ("acsnet", 1, ("benign", "malignant", "normal"))
    assert entry.arguments == metadata.config["model"]["arguments"]
    assert entry.parameters == sum(parameter.numel() for parameter in acsnet.load_model(path).parameters())
    assert entry.input.model_dump() == {"height": 64, "width": 64, "channels": 3}
    assert entry.recipe.model_dump() == {"config": "configs/tiny.yaml", "overrides": (), "before": (), "after": ()}
    assert entry.data.model_dump() == {"names": ("busi",), "n": 36, "hash": metadata.dataset["hash"]}
    assert entry.split_hash == metadata.split_hash
    assert (entry.tests, entry.limits, entry.license) == ((), ("Small.",), "CC0-1.0")


def test_no_path_of_the_data_is_released(clone: Path, changed: Any, trained_run: Path, phantom_root: Path) -> None:
    config = read_metadata(trained_run / "best.safetensors").config
    private = {**config, "data": {**config["data"], "root": str(phantom_root), "cache": "/home/somebody/cache"}}
    release(changed(config=private), clone)
    metadata = read_metadata(clone / "checkpoints" / "tiny.safetensors")
    assert (metadata.config["data"]["root"], metadata.config["data"]["cache"]) == (None, None)
    for path in (clone / "checkpoints").iterdir():
        assert str(phantom_root).encode() not in path.read_bytes()
        assert b"/home/" not in path.read_bytes()


@pytest.mark.parametrize(
    "text", ["/home/me/a.csv", "see ~/runs", "of ~me/x", "file=/data/x", "C:\\Users\\me", r"\\nas\x"]
)
def test_other_paths_are_refused(clone: Path, changed: Any, text: str) -> None:
    with pytest.raises(
        InputError, match=r"^the metadata of the checkpoint contains local paths, .*: metrics\.notes\.0 \("
    ):
        release(changed(metrics={"dice": 0.5, "notes": [text]}), clone)
    assert not read_index().checkpoints


@pytest.mark.parametrize("text", ["val at 64x64, epoch 2/90", "a / b", "benign/benign (1).png", "about ~5 %", "m/s: 1"])
def test_texts_that_are_not_paths(clone: Path, changed: Any, text: str) -> None:
    release(changed(metrics={"protocol": text}), clone)
    assert read_metadata(clone / "checkpoints" / "tiny.safetensors").metrics == {"protocol": text}


def test_a_path_among_the_overrides_is_refused(clone: Path, trained_run: Path, phantom_root: Path) -> None:
    message = r"^the entry of the index contains local paths, which must not be released: recipe\.overrides\.0 \(data\."
    with pytest.raises(InputError, match=message):
        release(trained_run / "best.safetensors", clone, overrides=(f"data.root={phantom_root}",))
    assert not list((clone / "checkpoints").glob("*.safetensors"))


def test_the_recipe_has_to_be_that_of_the_training(clone: Path, trained_run: Path) -> None:
    with pytest.raises(InputError) as caught:
        release(trained_run / "best.safetensors", clone, overrides=("training.epochs=3", "data.split=all"))
    assert str(caught.value) == (
        "configs/tiny.yaml is not the recipe of the checkpoint, which was trained with other values: training.epochs "
        "(2 -> 3); pass the overrides of the training by --set"
    )


def test_the_recipe_has_the_overrides_of_the_training(clone: Path, changed: Any, trained_run: Path) -> None:
    config = read_metadata(trained_run / "best.safetensors").config
    path = changed(config={**config, "training": {**config["training"], "epochs": 3}})
    given = ("training.epochs=3", "evaluation.threshold=validation", "data.records=curated/curated.csv")
    release(path, clone, overrides=given)
    assert read_index().checkpoints["tiny"].recipe.overrides == given


def test_the_commands_of_initial_weights_are_required(clone: Path, trained_run: Path) -> None:
    arguments = (trained_run / "best.safetensors", "tiny", CONFIG, ["model.initial_weights=runs/first.safetensors"])
    more = ("CC0-1.0", [], clone / "checkpoints")
    message = r"^configs/tiny\.yaml starts from runs/first\.safetensors: pass the commands that made it by --before$"
    with pytest.raises(InputError, match=message):
        release_checkpoint(*arguments, *more)
    message = r"^--before 'train configs/first\.yaml' is not a command of this package: expected one such as"
    with pytest.raises(InputError, match=message):
        release_checkpoint(*arguments, *more, ["train configs/first.yaml"])
    commands = ["acsnet train configs/first.yaml", "acsnet train configs/first.yaml --resume"]
    release_checkpoint(*arguments, *more, commands)
    assert read_index().checkpoints["tiny"].recipe.before == tuple(commands)
    lines = (clone / "checkpoints" / "README.md").read_text()
    last = "acsnet train configs/tiny.yaml --set model.initial_weights=runs/first.safetensors"
    assert "```bash\n" + "\n".join([*commands, last]) + "\n```" in lines


def test_the_commands_of_an_ensemble_of_different_networks_are_required(
    clone: Path, trained_run: Path, tmp_path: Path
) -> None:
    trained = trained_run / "best.safetensors"
    metadata = read_metadata(trained)
    shallow = {"in_channels": 3, "tasks": list(metadata.tasks), "width": 4, "depth": 2}
    other = tmp_path / "other.safetensors"
    network = acsnet.create_model("unet", num_classes=3, **shallow)
    save_checkpoint(other, network.state_dict(), metadata.model_copy(update={"model": "unet", "arguments": shallow}))
    ensemble = tmp_path / "ensemble.safetensors"
    save_ensemble(ensemble, [trained, other])
    arguments = (ensemble, "pair", CONFIG, [], "CC0-1.0", [], clone / "checkpoints", ["acsnet train configs/unet.yaml"])
    message = r"^the checkpoint is an ensemble of acsnet \+ unet: pass the commands that combined them by --after$"
    with pytest.raises(InputError, match=message):
        release_checkpoint(*arguments)
    message = r"^--after 'ensemble a b' is not a command of this package: expected one such as"
    with pytest.raises(InputError, match=message):
        release_checkpoint(*arguments, ["ensemble a b"])
    release_checkpoint(*arguments, ["acsnet ensemble a b --out both.safetensors"])
    entry = read_index().checkpoints["pair"]
    assert [network.model for network in entry.networks] == ["acsnet", "unet"]
    assert entry.networks[1].arguments == {"width": 4, "depth": 2}
    lines = (clone / "checkpoints" / "README.md").read_text()
    assert "+ unet (width 4, depth 2), " in lines
    training = (
        "acsnet train configs/unet.yaml\nacsnet train configs/tiny.yaml\nacsnet ensemble a b --out both.safetensors"
    )
    assert f"```bash\n{training}\n```" in lines


def test_a_readme_without_a_place_for_the_table(clone: Path, trained_run: Path) -> None:
    (clone / "README.md").write_text("# Title\n")
    with pytest.raises(InputError, match=r"README\.md has no released section"):
        release(trained_run / "best.safetensors", clone)
    assert [path.name for path in (clone / "checkpoints").iterdir()] == ["index.json"]


def test_a_configuration_from_elsewhere(clone: Path, trained_run: Path, tiny_config: Path) -> None:
    with pytest.raises(InputError, match=r"tiny\.yaml is outside .*: pass a configuration of this repository"):
        release_checkpoint(trained_run / "best.safetensors", "a", tiny_config, [], "CC0-1.0", [], clone / "checkpoints")


@pytest.mark.parametrize("name", ["", "A", "a b", "../a", "a.safetensors", "-a"])
def test_names(clone: Path, trained_run: Path, name: str) -> None:
    with pytest.raises(
        InputError, match=r"^the name is .*: use lower-case letters, digits, _ and -, a letter or digit f"
    ):
        release(trained_run / "best.safetensors", clone, name)


def test_weights_that_half_precision_cannot_hold(clone: Path, changed: Any, trained_run: Path) -> None:
    weights = read_weights(trained_run / "best.safetensors")
    weights["seg_head.0.bias"][0] = 1e6
    message = (
        r"^half precision cannot represent 1 of the tensors \(seg_head\.0\.bias, \.\.\.\): their values are too large$"
    )
    with pytest.raises(InputError, match=message):
        release(changed(weights), clone)


def test_outputs_that_differ(clone: Path, trained_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "PROBABILITY_TOLERANCE", 1e-9)
    message = r"cannot be released in half precision: a probability differs by 0\.\d{4} from .*; the limit is 1e-09"
    with pytest.raises(CheckpointError, match=message):
        release(trained_run / "best.safetensors", clone)
    assert [path.name for path in (clone / "checkpoints").iterdir()] == ["index.json"]


def test_limits_of_size(clone: Path, trained_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "MAX_TOTAL_BYTES", 1000)
    with pytest.raises(InputError, match=r"files would be \d+\.\d MB; the limit is 0 MB: train a smaller network$"):
        release(trained_run / "best.safetensors", clone)
    monkeypatch.undo()
    monkeypatch.chdir(clone)
    release(trained_run / "best.safetensors", clone, "first")
    size = (clone / "checkpoints" / "first.safetensors").stat().st_size
    monkeypatch.setattr(conversion, "MAX_TOTAL_BYTES", 2 * size - 1)
    with pytest.raises(
        InputError, match=r"^all released files would be .* MB; the limit is \d+ MB: remove one of first$"
    ):
        release(trained_run / "best.safetensors", clone, "second")
    release(trained_run / "best.safetensors", clone, "first")
    assert list(read_index(clone / "checkpoints").checkpoints) == ["first"]


def test_metadata_without_training_data(clone: Path, changed: Any) -> None:
    with pytest.raises(
        InputError, match=r"^the metadata of the checkpoint does not name its training data: it was not written"
    ):
        release(changed(dataset={}), clone)


def test_a_second_release_replaces_the_first(tested: Path, changed: Any) -> None:
    assert read_index().checkpoints["tiny"].tests
    release(changed(code_version="later"), tested.parent)
    entry = read_index().checkpoints["tiny"]
    assert (entry.tests, entry.code_version) == ((), "later"), "figures are those of the file that lies there"


def test_an_ensemble_of_folds(clone: Path, trained_run: Path, changed: Any) -> None:
    best = trained_run / "best.safetensors"
    config = read_metadata(best).config
    config = {**config, "data": {**config["data"], "folds": {**config["data"]["folds"], "index": 3}}}
    save_ensemble(clone / "ensemble.safetensors", [best, changed(split_hash="another fold")], {}, config)
    release(clone / "ensemble.safetensors", clone, "both")
    entry = read_index().checkpoints["both"]
    assert (entry.members, entry.split_hash) == (2, None)
    assert len(acsnet.load_model("both").members) == 2


def test_cards_are_json(clone: Path, trained_run: Path) -> None:
    release(trained_run / "best.safetensors", clone)
    content = json.loads((clone / "checkpoints" / "index.json").read_text())
    assert content["checkpoints"]["tiny"]["data"]["n"] == 36
    assert isinstance(read_metadata(clone / "checkpoints" / "tiny.safetensors"), CheckpointMetadata)


def test_a_selection_on_the_test_subset_is_a_limit(clone: Path, changed: Any) -> None:
    release(changed(selected_on="test"), clone)
    limits = read_index().checkpoints["tiny"].limits
    assert limits == (
        "Its epoch was selected on the test subset, as in the publication: test metrics are too good.",
        "Small.",
    )
