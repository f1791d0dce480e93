"""Configurations that attack by their parents, paths, sizes and numbers of mistakes."""

from pathlib import Path

import pytest

from acsnet.config import build_config, load_config
from acsnet.errors import ConfigError

MODEL = {"model": {"name": "a"}}


@pytest.mark.parametrize("count", [2, 5])
def test_parents_that_share_parents_are_read_once(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "0.yaml").write_text("model: {name: a}\ntraining: {epochs: 3}")
    for number in range(1, 31):
        (tmp_path / f"{number}.yaml").write_text(f"base: [{', '.join([f'{number - 1}.yaml'] * count)}]")
    opened: list[str] = []
    own = Path.open
    monkeypatch.setattr(Path, "open", lambda path, *rest: opened.append(path.name) or own(path, *rest))
    assert load_config(tmp_path / "30.yaml").training.epochs == 3
    assert sorted(opened) == sorted(f"{number}.yaml" for number in range(31))


def test_a_scalar_of_a_middle_parent_hides_those_before_it(tmp_path: Path) -> None:
    for name, text in [
        ("first", "model: {name: a}\ndata: {class_map: {cyst: benign}}"),
        ("second", "data: {class_map: null}"),
        ("third", "data: {class_map: {cancer: malignant}}"),
        ("run", "base: [first.yaml, second.yaml, third.yaml]"),
    ]:
        (tmp_path / f"{name}.yaml").write_text(text)
    assert load_config(tmp_path / "run.yaml").data.class_map == {"cancer": "malignant"}


def test_a_long_chain_of_parents(tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / f"{number}.yaml").write_text(f"base: {number + 1}.yaml")
    with pytest.raises(ConfigError, match=r"50\.yaml: more than 50 base files refer to each other: remove some"):
        load_config(tmp_path / "0.yaml")


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ('"a\\0b"', "there is no configuration file .*a\0b"),
        ("x" * 5_000, "cannot be read: File name too long"),
        (".", "is a folder: name a YAML file"),
        ("/dev/null", "/dev/null is a pipe or a device"),
        ("[{a: 1}]", "base is .*, expected the path of a YAML file relative to this one"),
        (f"[[{'1, ' * 9_000}]]", r"base is .* \[\.\.\.\] .*, expected the path of a YAML file"),
    ],
)
def test_a_parent_that_is_no_file(base: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(f"base: {base}")
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(tmp_path / "run.yaml")
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.parts=a.csv"], "unknown key 'data.parts': it is 'data.split_file' now"),
        (["loss.balance=fixed"], "unknown key 'loss.balance': it is 'loss.weighting' now"),
        (
            ["loss.segmentation_share=0.5"],
            "'loss.segmentation_share': it is 'loss.segmentation_weight' now",
        ),
        (["training.device=cuda:7"], "unknown key 'training.device': the device is chosen outside the configuration"),
        (["device=mps"], "unknown key 'device': the device is chosen outside the configuration, as by --device cuda:1"),
        (["epochs=3"], "unknown key 'epochs': did you mean 'training.epochs'?"),
        (["image_size=[64, 64]"], "unknown key 'image_size': did you mean 'data.image_size'?"),
        (["training.learning_rate=3"], "unknown key 'training.learning_rate': did you mean 'optimizer.learning_rate'?"),
        (["data.image_size=[1000000, 64]"], "data.image_size.0 is 1000000: expected less than or equal to 4096"),
        (["data.image_size=[64, 0]"], "data.image_size.1 is 0: expected greater than or equal to 1"),
        (["data.image_size=[-64, 64]"], "data.image_size.0 is -64: expected greater than or equal to 1"),
        (["data.image_size=64"], "data.image_size is 64: expected a list, as in [1, 2]"),
        (["data.image_size=[]"], "data.image_size.0 is missing; data.image_size.1 is missing"),
        (["data.workers=1000000"], "data.workers is 1000000: expected less than or equal to 1024"),
        (["model.tasks=[]"], "model.tasks is []: expected at least 1 item, not 0"),
        (["data.mean=[]"], "data.mean is []: expected at least 1 item, not 0"),
        (["data.records=[]"], "data.records is []: expected at least 1 item, not 0"),
        (["data.classes=[]"], "data: classes is []: name at least one class, each once"),
        (["evaluation.test_time_augmentation.scales=[]"], "expected at least 1 item, not 0"),
        (["loss.segmentation=[]"], "loss.segmentation is []: expected at least 1 item, not 0"),
        (
            ["data.root=~nobody-has-this/data"],
            "data.root: the home folder of ~nobody-has-this/data is unknown",
        ),
        (['data.cache="a\\0b"'], "data.cache: the path 'a\\x00b' has a NUL: remove it"),
        (['data.records=["a.csv", "b\\0.csv"]'], "data.records.1: the path 'b\\x00.csv' has a NUL: remove it"),
        ([".".join("a" * 60) + "=1"], "expected KEY=VALUE with a dotted key, as in --set training.epochs=40"),
    ],
)
def test_a_mistake_says_what_to_do(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_config(MODEL, overrides, "run.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_thousands_of_mistakes_are_a_short_line() -> None:
    content = {**MODEL, "data": {"image_size": ["x" * 10_000, 1]}, **{f"key{number}": 1 for number in range(5_000)}}
    with pytest.raises(
        ConfigError, match=r"data\.image_size\.0 is 'xxx.* \[\.\.\.\] .*; and 4991 more \(data\.image_size: .*\)$"
    ) as caught:
        build_config(content, [], "run.yaml")
    assert len(str(caught.value)) < 4_000
