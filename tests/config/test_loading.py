import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import yaml
from pydantic import BaseModel

from acsnet.config import Config, Section, build_config, changed_keys, load_config
from acsnet.errors import ConfigError
from acsnet.models._base import check_size
from acsnet.training.builders import build_augmentation, build_loss, build_model
from acsnet.training.selection import SelectionScore
from acsnet.training.validation import metric_names

REPOSITORY = Path(__file__).resolve().parents[2]
MODEL = "model: {name: acsnet}\n"
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a configuration file and return its path."""

    def _write(text: str, name: str = "run.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return _write


def test_a_section_left_out_has_its_defaults(write: Write) -> None:
    config = load_config(write(MODEL))
    assert config == Config.model_validate({"model": {"name": "acsnet"}})
    assert (config.training.epochs, config.optimizer.learning_rate, config.data.split) == (90, 1e-4, "test")
    assert load_config(write(MODEL + "augmentation:\n")).augmentation == ()


def test_values_arrive_where_they_belong(write: Write) -> None:
    config = load_config(
        write(
            """
            model: {name: acsnet, in_channels: 1, tasks: [classification], arguments: {widths: [16, 16]}}
            data: {records: table.csv, image_size: [128, 96], folds: {count: 4, index: 3}}
            augmentation: [{name: Rotate, limit: 30, p: 0.5}]
            loss: {segmentation: [{name: dice}, {name: bce, weight: 2}]}
            """
        )
    )
    assert config.model.tasks == ("classification",)
    assert config.model.arguments == {"widths": [16, 16]}
    assert config.data.records == (Path("table.csv"),)
    assert config.data.image_size == (128, 96)
    assert (config.data.folds.count, config.data.folds.index, config.data.folds.seed) == (4, 3, 0)
    assert config.augmentation[0].name == "Rotate"
    assert config.augmentation[0].arguments == {"limit": 30, "p": 0.5}
    assert [(term.name, term.weight) for term in config.loss.segmentation] == [("dice", 1.0), ("bce", 2.0)]


def test_the_resolved_configuration_loads_to_the_same(write: Write) -> None:
    config = load_config(REPOSITORY / "configs" / "acsnet_phantom.yaml", ["optimizer.learning_rate=1e-5"])
    again = load_config(write(config.to_yaml()))
    assert again == config
    assert again.to_dict() == config.to_dict()
    assert yaml.safe_load(config.to_yaml()) == config.to_dict(), "plain YAML that any reader understands"
    assert changed_keys(yaml.safe_load(config.to_yaml()), config.to_dict()) == []


def test_metadata_have_no_path_and_a_number_as_threshold(write: Write) -> None:
    given = """
        model: {name: acsnet, initial_weights: /secret/a.safetensors, encoder_weights: /secret/resnet18.pth}
        data: {records: [/secret/a.csv], cache: /secret, split_file: /secret/split.csv}
        loss: {distillation: {teacher: /secret/best.safetensors, weight: 0.3}}
        evaluation: {threshold: validation}
        """
    config = load_config(write(given))
    content = config.for_metadata()
    assert "secret" not in json.dumps(content)
    assert content["loss"]["distillation"]["teacher"] == ["best.safetensors"]
    assert content["data"]["split_file"] is None
    assert content["model"]["encoder_weights"] == "resnet18.pth"
    assert (content["model"]["initial_weights"], content["evaluation"]["threshold"]) == (None, 0.5)
    assert build_config(content, [], "metadata").loss.distillation.weight == 0.3
    assert config.to_dict()["evaluation"]["threshold"] == "validation"
    for key in ("split_file", "image_list"):
        named = load_config(write(MODEL + f"data: {{{key}: busi_curated}}"))
        assert named.for_metadata()["data"][key] == "busi_curated", "a released split"
        listed = load_config(write(MODEL + f"data: {{{key}: /secret/list.csv}}"))
        assert listed.for_metadata()["data"][key] is None
    plain = load_config(write(MODEL))
    assert plain.for_metadata() == plain.to_dict()


def test_objects_do_not_change(write: Write) -> None:
    config = load_config(write(MODEL))
    with pytest.raises(ValueError, match="Instance is frozen"):
        config.training.epochs = 3  # type: ignore[misc]


# --- parents ---------------------------------------------------------------------------------------------------------


def test_own_keys_win_over_a_chain_of_parents(write: Write) -> None:
    write(MODEL + "training: {epochs: 1, batch_size: 1, seed: 1}\naugmentation: [{name: A}, {name: B}]\n", "a/top.yaml")
    write("base: ../a/top.yaml\ntraining: {epochs: 2, batch_size: 2}\n", "b/middle.yaml")
    child = write("base: b/middle.yaml\ntraining: {epochs: 3}\naugmentation: [{name: C}]\n")
    config = load_config(child)
    assert (config.training.epochs, config.training.batch_size, config.training.seed) == (3, 2, 1)
    assert [transform.name for transform in config.augmentation] == ["C"], "lists replace lists"
    assert config.model.name == "acsnet"


def test_parents_in_a_circle(write: Write) -> None:
    write("base: b.yaml\n", "a.yaml")
    write("base: c.yaml\n", "b.yaml")
    path = write("base: a.yaml\n", "c.yaml")
    with pytest.raises(
        ConfigError, match=r"base files refer to each other in a circle: c\.yaml -> a\.yaml -> b\.yaml -> c\.yaml"
    ):
        load_config(path)
    with pytest.raises(ConfigError, match=r"base files refer to each other in a circle: self\.yaml -> self\.yaml"):
        load_config(write("base: self.yaml\n", "self.yaml"))


def test_two_children_of_one_parent_are_no_circle(write: Write) -> None:
    write(MODEL, "top.yaml")
    for name in ("a.yaml", "b.yaml"):
        assert load_config(write("base: top.yaml\n", name)).model.name == "acsnet"


def test_a_missing_parent_is_named(write: Write) -> None:
    write(MODEL, "acsnet_busi.yaml")
    with pytest.raises(
        ConfigError, match=r"no configuration file .*acsnet_bus\.yaml; did you mean .*acsnet_busi\.yaml"
    ):
        load_config(write("base: acsnet_bus.yaml\n"))


def test_later_ones_of_several_parents_win(write: Write) -> None:
    write(MODEL + "training: {epochs: 1, batch_size: 1, seed: 1}\n", "top.yaml")
    write("base: top.yaml\naugmentation: [{name: A}]\n", "a.yaml")
    write("training: {epochs: 2, batch_size: 2}\naugmentation: [{name: B}]\n", "parts/b.yaml")
    config = load_config(write("base: [a.yaml, parts/b.yaml]\ntraining: {epochs: 3}\n"))
    assert (config.training.epochs, config.training.batch_size, config.training.seed) == (3, 2, 1)
    assert [transform.name for transform in config.augmentation] == ["B"]
    turned = load_config(write("base: [parts/b.yaml, a.yaml]\n"))
    assert (turned.training.epochs, turned.training.batch_size) == (1, 1)
    assert [transform.name for transform in turned.augmentation] == ["A"]


def test_two_parents_of_one_grandparent_are_no_circle(write: Write) -> None:
    write(MODEL, "top.yaml")
    write("base: top.yaml\n", "a.yaml")
    assert load_config(write("base: [a.yaml, top.yaml]\n")).model.name == "acsnet"
    with pytest.raises(ConfigError, match=r"base files refer to each other in a circle: self\.yaml -> self\.yaml"):
        load_config(write("base: [top.yaml, self.yaml]\n", "self.yaml"))


@pytest.mark.parametrize("base", ["3", "[a.yaml, 3]", "{a: b}"])
def test_a_parent_that_is_no_path(write: Write, base: str) -> None:
    message = r"run\.yaml: base is .*, expected the path of a YAML file relative to this one, or a list of them"
    with pytest.raises(ConfigError, match=message):
        load_config(write(f"base: {base}\n"))


# --- mistakes in values ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modle: {name: acsnet}", "model is missing; unknown key 'modle': did you mean 'model'?"),
        (MODEL + "training: {epoch: 3}", "unknown key 'training.epoch': did you mean 'epochs'?"),
        (MODEL + "data: {folds: {cuont: 3}}", "unknown key 'data.folds.cuont': did you mean 'count'?"),
        (
            MODEL + "loss: {segmentation: [{name: dice}, {name: bce, wieght: 2}]}",
            "unknown key 'loss.segmentation.1.wieght': did you mean 'weight'?",
        ),
        (MODEL + "optimizer: {lr: 1}", "unknown key 'optimizer.lr': known are name, learning_rate, weight_decay,"),
        (MODEL + "model_name: a", "unknown key 'model_name': did you mean 'model'?"),
        ("data: {}", "model is missing"),
        ("", "model is missing"),
        (MODEL + "augmentation: [{p: 1}]", "augmentation.0.name is missing"),
        (MODEL + "training: {epochs: many}", "training.epochs is 'many': expected a valid integer"),
        (MODEL + "training: {epochs: 1.5}", "training.epochs is 1.5: expected a valid integer"),
        (MODEL + "training: {epochs: true}", "training.epochs is True: expected a valid integer"),
        (MODEL + "training: {epochs: '40'}", "training.epochs is '40': expected a valid integer"),
        (MODEL + "optimizer: {learning_rate: true}", "optimizer.learning_rate is True: expected a valid number"),
        (MODEL + "data: {image_size: [true, 256]}", "data.image_size.0 is True: expected a valid integer"),
        (MODEL + "data: {mean: [a]}", "data.mean.0 is 'a': expected a valid number"),
        (MODEL + "data: {root: 3}", "data.root is 3: expected a path"),
        (MODEL + "data: {image_size: 256}", "data.image_size is 256: expected a list, as in [1, 2]"),
        (MODEL + "data: {image_size: [1, 2, 3]}", "data.image_size is [1, 2, 3]: expected at most 2 items, not 3"),
        (MODEL + "training: 3", "training is 3: expected a section of keys and values"),
        ("model:", "model is None: expected a section of keys and values"),
        ("model: {name: 3}", "model.name is 3: expected text"),
        ("model: {name: a, arguments: 3}", "model.arguments is 3: expected keys and values, as in {key: value}"),
        (MODEL + "training: {channels_last: maybe}", "training.channels_last is 'maybe': expected a valid boolean"),
        (MODEL + "training: {epochs: 0}", "training.epochs is 0: expected greater than or equal to 1"),
        (
            MODEL + "evaluation: {threshold: 1}",
            "evaluation.threshold: 1 is neither a number above 0 and below 1 nor the word",
        ),
        (MODEL + "evaluation: {threshold: true}", "evaluation.threshold: True is neither a number above 0 and below"),
        (MODEL + "evaluation: {threshold: validaton}", "evaluation.threshold: 'validaton' is neither a number"),
        (
            MODEL + "evaluation: {test_time_augmentation: {scales: [1, 0]}}",
            "evaluation.test_time_augmentation.scales.1 is 0: expected greater than 0",
        ),
        (
            MODEL + "evaluation: {test_time_augmentation: {scales: []}}",
            "evaluation.test_time_augmentation.scales is []: expected at least 1 item",
        ),
        (
            MODEL + "evaluation: {test_time_augmentation: {scales: 1.5}}",
            "evaluation.test_time_augmentation.scales is 1.5: expected a list, as in [1, 2]",
        ),
        (
            MODEL + "evaluation: {test_time_augmentation: {scales: [1, 1.5, 1.0]}}",
            "evaluation.test_time_augmentation.scales: scales is [1.0, 1.5, 1.0]: name each scale once",
        ),
        (
            MODEL + "evaluation: {test_time_augmentation: {horizontal: true}}",
            "unknown key 'evaluation.test_time_augmentation.horizontal': did you mean 'horizontal_flip'?",
        ),
        (
            MODEL + "evaluation: {postprocessing: {minimum_area: 1}}",
            "evaluation.postprocessing.minimum_area is 1: expected less than 1",
        ),
        (MODEL + "data: {std: [0]}", "data.std.0 is 0: expected greater than or equal to 0.001"),
        (MODEL + "optimizer: {learning_rate: .inf}", "optimizer.learning_rate is inf: expected a finite number"),
        (MODEL + "data: {mean: [.nan]}", "data.mean.0 is nan: expected a finite number"),
        (
            MODEL + "loss: {segmentation_weight: 1.1}",
            "loss.segmentation_weight is 1.1: expected less than or equal to 1",
        ),
        (MODEL + "loss: {distillation: {}}", "loss.distillation.teacher is missing"),
        (MODEL + "loss: {distillation: {teacher: 3}}", "loss.distillation.teacher is 3: expected a list, as in"),
        (
            MODEL + "loss: {distillation: {teacher: a, weight: 0}}",
            "loss.distillation.weight is 0: expected greater than 0",
        ),
        (
            MODEL + "loss: {distillation: {teacher: a, temprature: 3}}",
            "unknown key 'loss.distillation.temprature': did you mean 'temperature'?",
        ),
        ("model: {name: a, initial_weights: 3}", "model.initial_weights is 3: expected a path"),
        (MODEL + "loss: {segmentation: []}", "loss.segmentation is []: expected at least 1 item, not 0"),
        ("model: {name: a, in_channels: 2}", "model.in_channels is 2: expected 1 or 3"),
        (
            MODEL + "schedule: {name: Cosin}",
            "schedule.name is 'Cosin': expected 'cosine', 'poly', 'plateau' or 'constant'; did you mean 'cosine'?",
        ),
        (
            "model: {name: a, tasks: [clasification]}",
            "model.tasks.0 is 'clasification': expected 'segmentation' or 'classification'; did you mean "
            "'classification'?",
        ),
        (MODEL + "data: {split: xyz}", "data.split is 'xyz': expected 'train', 'val', 'test' or 'all'"),
        (
            MODEL + "data: {folds: {count: 3, index: 3}}",
            "data.folds: index is 3; with count 3 it must be at most 2",
        ),
        (
            MODEL + "data: {folds: {count: 4, test: 0.2}}",
            "data.folds: count (4), test (0.2) are set together: set count and index for folds, or test for a "
            "single split, and null for the other",
        ),
        (
            MODEL + "data: {folds: {count: 5, index: 0, test: 0.2}}",
            "data.folds: count (5), index (0), test (0.2) are set together: set count and index for folds, or",
        ),
        (MODEL + "data: {folds: {test: 0.6}}", "data.folds.test is 0.6: expected less than or equal to 0.5"),
        (MODEL + "data: {folds: {test: 0}}", "data.folds.test is 0: expected greater than 0"),
        (MODEL + "data: {folds: {grouped: 1}}", "data.folds.grouped is 1: expected a valid boolean"),
        (
            MODEL + "training: {seed: 4294967296}",
            "training.seed is 4294967296: expected less than or equal to 4294967295",
        ),
        (MODEL + "data: {folds: {seed: null}}", "data.folds.seed is None: expected a valid integer"),
        (MODEL + "data: {folds: 3}", "data.folds is 3: expected a section of keys and values"),
        (
            MODEL + "data: {root: a, records: b.csv}",
            "data: root and records are both set: set the folder or the table, and null for the other",
        ),
        (MODEL + "data: {records: 3}", "data.records is 3: expected a list, as in [1, 2]"),
        (MODEL + "data: {records: [a.csv, 3]}", "data.records.1 is 3: expected a path"),
        (MODEL + "data: {records: []}", "data.records is []: expected at least 1 item, not 0"),
        (MODEL + "data: {records: [a.csv, b.csv, a.csv]}", "data: records is ['a.csv', 'b.csv', 'a.csv']: name each"),
        (MODEL + "data: {class_map: cyst}", "data.class_map is 'cyst': expected keys and values, as in {key: value}"),
        (MODEL + "data: {class_map: {cyst: 3}}", "data.class_map.cyst is 3: expected text"),
        (MODEL + "data: {classes: []}", "data: classes is []: name at least one class, each once"),
        (
            MODEL + "data: {classes: [benign, benign]}",
            "data: classes is ['benign', 'benign']: name at least one class, each once",
        ),
    ],
)
def test_a_mistake_is_named_with_file_and_key(write: Write, text: str, message: str) -> None:
    path = write(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_every_mistake_is_named_once(write: Write) -> None:
    text = MODEL + "training: {epochs: 0, epoch: 3}\nloss: {segmentation: [{name: dice, wieght: 1}]}"
    with pytest.raises(ConfigError) as caught:
        load_config(write(text))
    listed, _, described = str(caught.value).partition(": ")[2].partition(" (")
    problems = listed.split("; ")
    assert described == "loss.segmentation.weight: Weight of the term in the sum; training.epochs: Number of epochs)"
    assert [problem.split(":")[0] for problem in problems] == [
        "unknown key 'loss.segmentation.0.wieght'",
        "training.epochs is 0",
        "unknown key 'training.epoch'",
    ]


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("training: {epochs: 0}", "or equal to 1 (training.epochs: Number of epochs)"),
        ("training: {epoch: 3}", "did you mean 'epochs'? (training.epochs: Number of epochs)"),
        ("data: {image_size: [1, 0]}", "(data.image_size: Height and width that images are resized to)"),
        ("schedule: {name: Cosin}", "(schedule.name: Curve after warm-up; plateau lowers the rate if the selection "),
        ("loss: {distillation: {}}", "(loss.distillation.teacher: A checkpoint or released name, or a list of them"),
        ("data: {class_map: {cyst: 3}}", "(data.class_map: Class of each label of the data, as in {cyst: benign};"),
        ("evaluation: {threshold: 2}", "(evaluation.threshold: Lowest mask probability of the foreground; validation"),
        ("augmentation: [{p: 1}]", "augmentation.0.name is missing (augmentation.name: Class name of the transform)"),
    ],
)
def test_a_mistake_comes_with_the_description_of_the_key(write: Write, text: str, end: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(MODEL + text))
    assert end in str(caught.value)
    assert str(caught.value).endswith(")")


@pytest.mark.parametrize("text", ["training: 3", "optimizer: {lr: 1}", "data: {root: a, records: b}", "loss: {a: 1}"])
def test_sections_and_keys_without_a_near_one_have_no_description(write: Write, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(MODEL + text))
    assert " (" not in str(caught.value)


def test_at_most_three_keys_are_described(write: Write) -> None:
    text = "training: {epochs: 0, batch_size: 0, patience: 0, panel_every: 0}"
    with pytest.raises(ConfigError) as caught:
        load_config(write(MODEL + text))
    described = str(caught.value).partition(" (")[2]
    assert [key for key in ("epochs", "batch_size", "patience", "panel_every") if f"training.{key}: " in described] == [
        "epochs",
        "batch_size",
        "patience",
    ]


# --- YAML ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["1e-4", "1E-4", "1.0e-4", "1.e-4", ".1e-3", "+1e-4", "0.0001"])
def test_exponents_as_people_write_them_are_numbers(write: Write, text: str) -> None:
    assert load_config(write(MODEL + f"optimizer: {{learning_rate: {text}}}")).optimizer.learning_rate == 1e-4
    config = load_config(write(f"model: {{name: a, arguments: {{x: {text}, y: 1.5e3, z: e3, w: 1e}}}}"))
    assert config.model.arguments == {"x": 1e-4, "y": 1500.0, "z": "e3", "w": "1e"}


@pytest.mark.parametrize(
    ("text", "key"), [("model: {name: a, name: b}", "name"), (MODEL + "data: {}\nmodel: {name: b}", "model")]
)
def test_a_key_given_twice(write: Write, text: str, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"run\.yaml is not YAML: line [13]: key '{key}' is given twice: remove one"):
        load_config(write(text))


def test_merge_keys_stand_for_the_keys_of_others(write: Write) -> None:
    text = """
        model:
          name: a
          arguments: {small: &small {x: 1, y: 1}, large: &large {<<: *small, x: 2}, huge: {<<: *large, x: 3}}
        """
    arguments = load_config(write(text)).model.arguments
    assert arguments == {"small": {"x": 1, "y": 1}, "large": {"x": 2, "y": 1}, "huge": {"x": 3, "y": 1}}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"model: [1", "while parsing a flow sequence"),
        (b"\tmodel: 1", "cannot start any token"),
        (b"\xff\xfe\x00", "'utf-8' codec can't decode byte 0xff"),
        (b"? [a]\n: 1", "line 1: while constructing a mapping found unhashable key"),
    ],
)
def test_a_file_that_is_not_yaml(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"run\.yaml is not YAML: ") as caught:
        load_config(path)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["- model", "model", "3", "1: {}"])
def test_a_file_without_sections(write: Write, text: str) -> None:
    with pytest.raises(ConfigError, match=r"run\.yaml: expected sections such as 'model:' and 'data:' at the top"):
        load_config(write(text))


def test_a_missing_file_and_its_near_name(write: Write, tmp_path: Path) -> None:
    write(MODEL, "acsnet_busi.yaml")
    for wrong in ("acsnet_bsui.yaml", "acsnet_busi.yml"):
        with pytest.raises(ConfigError) as caught:
            load_config(tmp_path / wrong)
        near = tmp_path / "acsnet_busi.yaml"
        assert str(caught.value) == f"there is no configuration file {tmp_path / wrong}; did you mean {near}?"


@pytest.mark.parametrize("name", ["something_else.yaml", "nowhere/run.yaml", "run.yaml/inside.yaml"])
def test_a_path_that_is_no_file(write: Write, tmp_path: Path, name: str) -> None:
    write(MODEL)
    with pytest.raises(ConfigError, match="there is no configuration file ") as caught:
        load_config(tmp_path / name)
    assert "did you mean" not in str(caught.value)


def test_a_file_that_may_not_be_read(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    path = write(MODEL)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ConfigError, match=r"run\.yaml cannot be read: Permission denied"):
        load_config(path)


def test_one_table_or_several(write: Write) -> None:
    assert load_config(write(MODEL + "data: {records: a.csv}")).data.records == (Path("a.csv"),)
    several = load_config(write(MODEL + "data: {records: [~/a.csv, b.csv]}"))
    assert several.data.records == (Path.home() / "a.csv", Path("b.csv"))
    assert load_config(write(several.to_yaml())) == several


@pytest.mark.parametrize(
    ("section", "overrides", "root", "records"),
    [
        ("root: a", ["data.records=b.csv"], None, ("b.csv",)),
        ("root: a", ["data.records=[b.csv, c.csv]"], None, ("b.csv", "c.csv")),
        ("root: a", ["data={records: b.csv}"], None, ("b.csv",)),
        ("records: b.csv", ["data.root=a"], "a", None),
        ("root: a", ["data.records=null"], "a", None),
        ("root: a", ["data.root=null"], None, None),
        ("root: a", ["data.split=all"], "a", None),
    ],
)
def test_data_named_by_an_override_is_the_only_data(
    write: Write, section: str, overrides: list[str], root: str | None, records: tuple[str, ...] | None
) -> None:
    data = load_config(write(f"{MODEL}data: {{{section}}}"), overrides).data
    assert data.root == (None if root is None else Path(root))
    assert data.records == (None if records is None else tuple(map(Path, records)))


def test_a_class_map_is_added_to_and_cleared(write: Write) -> None:
    path = write(MODEL + "data: {class_map: {cyst: benign}}")
    assert load_config(path, ["data.class_map.cancer=malignant"]).data.class_map == {
        "cyst": "benign",
        "cancer": "malignant",
    }
    assert load_config(path, ["data.class_map={}"]).data.class_map == {"cyst": "benign"}
    assert load_config(path, ["data.class_map=null"]).data.class_map == {}


def test_two_overrides_that_name_data(write: Write) -> None:
    with pytest.raises(ConfigError, match="data: root and records are both set"):
        load_config(write(MODEL), ["data.root=a", "data.records=b.csv"])


@pytest.mark.parametrize(
    ("section", "overrides", "expected"),
    [
        ("count: 4, index: 3", ["data.folds.test=0.2"], {"test": 0.2}),
        ("count: 4, index: 3", ["data.folds={test: 0.2, grouped: false}"], {"test": 0.2, "grouped": False}),
        ("test: 0.2", ["data.folds.index=1"], {"count": 5, "index": 1}),
        ("test: 0.2", ["data.folds={count: 4}"], {"count": 4, "index": 0}),
        ("test: 0.2", ["data.folds.seed=3"], {"test": 0.2, "seed": 3}),
        ("test: 0.2", ["data.folds.test=null"], {"count": 5, "index": 0}),
        ("test: 0.2, count: null, index: null", [], {"test": 0.2}),
        ("test: null, count: 3", ["data.folds.count=null"], {"count": 5, "index": 0}),
    ],
)
def test_one_way_to_test_takes_the_place_of_the_other(
    write: Write, section: str, overrides: list[str], expected: dict[str, Any]
) -> None:
    config = load_config(write(f"{MODEL}data: {{folds: {{{section}}}}}"), overrides)
    content = config.to_dict()["data"]["folds"]
    assert content == {"validation": 0.125, "grouped": True, "seed": 0, **expected}
    assert build_config(config.to_dict(), [], "again") == config


def test_two_overrides_that_name_ways_to_test(write: Write) -> None:
    with pytest.raises(ConfigError, match=r"data\.folds: index \(1\), test \(0\.2\) are set together"):
        load_config(write(MODEL), ["data.folds.index=1", "data.folds.test=0.2"])


# --- --set -----------------------------------------------------------------------------------------------------------


def test_overrides_of_every_form(write: Write) -> None:
    path = write(MODEL + "training: {epochs: 5, gradient_clip: 1.0}\ndata: {root: a}\n")
    config = load_config(
        path,
        [
            "training.epochs=40",
            "training.epochs=41",
            "training.gradient_clip=null",
            "data.folds.index=2",
            "data.image_size=[64, 96]",
            "data.root=null",
            "data.records=a=b.csv",
            "optimizer={name: sgd, learning_rate: 1e-2}",
            "model.arguments.widths=[16]",
            "training.selection={dice: 0.7, accuracy: 0.3}",
        ],
    )
    assert (config.training.epochs, config.training.gradient_clip) == (41, None)
    assert (config.data.folds.index, config.data.folds.count) == (2, 5)
    assert config.data.image_size == (64, 96)
    assert config.data.root is None
    assert config.data.records == (Path("a=b.csv"),)
    assert (config.optimizer.name, config.optimizer.learning_rate) == ("sgd", 0.01)
    assert config.model.arguments == {"widths": [16]}
    assert config.training.selection == {"dice": 0.7, "accuracy": 0.3}


@pytest.mark.parametrize("override", ["training.epochs", "", "=3", "training..epochs=3", ".epochs=3", "training.=3"])
def test_an_override_without_key_or_value(override: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_config({"model": {"name": "a"}}, [override], "run.yaml")
    example = "expected KEY=VALUE with a dotted key, as in --set training.epochs=40"
    assert str(caught.value) == f"--set {override}: {example}"


@pytest.mark.parametrize("value", ["[1", "{a: 1, a: 2}", "!!timestamp 2024-99-99"])
def test_an_override_whose_value_is_not_yaml(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^--set training\.epochs=.*: the value is not YAML: ") as caught:
        build_config({"model": {"name": "a"}}, [f"training.epochs={value}"], "run.yaml")
    assert "\n" not in str(caught.value)


def test_a_mistake_in_an_override_names_file_and_override() -> None:
    with pytest.raises(ConfigError) as caught:
        build_config({"model": {"name": "a"}}, ["training.epocs=3"], "run.yaml")
    message = "run.yaml with --set training.epocs=3: unknown key 'training.epocs': did you mean 'epochs'?"
    assert str(caught.value) == f"{message} (training.epochs: Number of epochs)"


def test_overrides_leave_the_content_as_it_was() -> None:
    content: dict[str, Any] = {"model": {"name": "a", "arguments": {"x": 1}}}
    build_config(content, ["model.arguments.x=2", "model.name=b"], "run.yaml")
    assert content == {"model": {"name": "a", "arguments": {"x": 1}}}


# --- changed keys ----------------------------------------------------------------------------------------------------


def test_changed_keys_names_what_differs() -> None:
    old = {"model": {"name": "a", "arguments": {}}, "training": {"epochs": 3, "seed": 0}}
    new = {"model": {"name": "a", "arguments": {"x": 1}}, "training": {"epochs": 4, "seed": 0}}
    assert changed_keys(old, old) == []
    assert changed_keys(old, new) == [
        "model.arguments ({} -> None)",
        "training.epochs (3 -> 4)",
        "model.arguments.x (None -> 1)",
    ]


def test_what_the_machine_says_is_no_change() -> None:
    old = build_config({"model": {"name": "a"}}, [], "test").to_dict()
    overrides = ["data.root=b", "data.cache=c", "data.workers=4", "data.split=all"]
    assert changed_keys(old, build_config({"model": {"name": "a"}}, overrides, "test").to_dict()) == []
    other = build_config({"model": {"name": "a"}}, [*overrides, "data.folds.index=1"], "test").to_dict()
    assert changed_keys(old, other) == ["data.folds.index (0 -> 1)"]


def test_a_normalization_that_the_training_finds_equals_every_value() -> None:
    found = build_config({"model": {"name": "a"}}, [], "test").to_dict()
    one, other = (build_config({"model": {"name": "a"}}, [f"data.mean=[{m}]"], "test").to_dict() for m in (0.5, 0.3))
    assert changed_keys(found, one) == changed_keys(one, found) == []
    assert changed_keys(one, other) == ["data.mean ([0.5] -> [0.3])"]


# --- the files in configs/ -------------------------------------------------------------------------------------------


# Those in bases/ are no configurations yet: they name no network.
CONFIGS = sorted(
    path for path in (REPOSITORY / "configs").rglob("*.yaml") if path.parent.name not in ("bases", "searches")
)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_is_built_and_run_once(path: Path) -> None:
    config = load_config(path, ["model.encoder_weights=null"])
    with torch.device("meta"):  # without the time that random weights take
        network = build_model(config.model, config.data.classes)
    network = network.to_empty(device="cpu").eval()
    for tensor in network.state_dict().values():
        tensor.zero_()
    check_size(config.data.image_size, network.divisor)
    with torch.inference_mode():
        output = network(torch.zeros(1, config.model.in_channels, 2 * network.divisor, network.divisor))
    tasks = config.model.tasks
    shape = (1, 1, 2 * network.divisor, network.divisor)
    assert (None if output.mask is None else output.mask.shape) == (shape if "segmentation" in tasks else None)
    classes = (1, len(config.data.classes))
    assert (None if output.label is None else output.label.shape) == (classes if "classification" in tasks else None)
    build_loss(config.loss, tasks, class_counts=[1] * len(config.data.classes))
    SelectionScore(config.training.selection, metric_names(tasks))
    build_augmentation(config.augmentation, config.data.image_size, config.model.in_channels)


def test_there_are_configurations() -> None:
    assert {"acsnet_busi", "acsnet_busi_scratch", "acsnet_phantom"} <= {path.stem for path in CONFIGS}


def test_refining_needs_both_tasks_and_a_normal_class(write: Write) -> None:
    refining = "evaluation: {refining: {empty_mask_for_normal: true}}"
    for more in ("data: {classes: [benign, malignant]}", "model: {name: a, tasks: [segmentation]}"):
        text = "\n".join([*([] if "model" in more else ["model: {name: a}"]), more, refining])
        with pytest.raises(ConfigError, match=r"yaml: evaluation\.refining needs both tasks and a class 'normal'"):
            load_config(write(text))


@pytest.mark.parametrize(
    ("evaluation", "named"),
    [
        ("{postprocessing: {fill_holes: true}}", r"evaluation\.postprocessing needs masks"),
        ("{postprocessing: {minimum_area: 0.01}}", r"evaluation\.postprocessing needs masks"),
        ("{threshold: validation}", r"evaluation\.threshold: validation needs masks"),
    ],
)
def test_what_is_done_to_masks_needs_masks(write: Write, evaluation: str, named: str) -> None:
    text = f"model: {{name: a, tasks: [classification]}}\nevaluation: {evaluation}"
    with pytest.raises(ConfigError, match=rf"yaml: {named}: add segmentation to model\.tasks, or remove it"):
        load_config(write(text))
    assert load_config(write(f"model: {{name: a}}\nevaluation: {evaluation}"))
    assert load_config(write("model: {name: a, tasks: [classification]}\nevaluation: {threshold: 0.4}"))


def test_evaluation_comes_back_from_plain_values(write: Write) -> None:
    text = "{threshold: validation, test_time_augmentation: {horizontal_flip: true, scales: [0.75, 1, 1.25]}}"
    config = load_config(write(f"model: {{name: a}}\nevaluation: {text}"))
    assert config.evaluation.threshold == "validation"
    assert Config.model_validate(json.loads(json.dumps(config.to_dict()))) == config
    assert Config.model_validate(yaml.safe_load(config.to_yaml())) == config


def test_a_tilde_is_the_home_folder(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    data = load_config(write("model: {name: a}\ndata: {root: ~/busi, cache: ~/cache}")).data
    assert (data.root, data.cache) == (Path("/home/somebody/busi"), Path("/home/somebody/cache"))


def sections(kind: type[Section]) -> Iterator[type[Section]]:
    yield kind
    for field in kind.model_fields.values():
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from sections(part)


@pytest.mark.parametrize("section", list(dict.fromkeys(sections(Config))), ids=lambda section: section.__name__)
def test_every_key_has_a_description_of_one_sentence(section: type[Section]) -> None:
    for name, field in section.model_fields.items():
        assert field.description, name
        assert field.description[0].isupper(), name
        assert field.description.endswith("."), name
        assert ". " not in field.description.replace("1.0", ""), name


def test_publications_whose_metrics_a_test_adds(write: Write) -> None:
    text = "model: {{name: a, tasks: {tasks}}}\nevaluation: {{published_metrics: [{names}]}}"
    both = "[segmentation, classification]"
    config = load_config(write(text.format(tasks=both, names="he2024, aumente2025")))
    assert config.evaluation.published_metrics == ("he2024", "aumente2025")
    assert load_config(write(text.format(tasks="[segmentation]", names="chung2024, aumente2025")))
    with pytest.raises(ConfigError, match=r"published_metrics\.0 is 'chung': expected 'he2024', .* mean 'chung2024'\?"):
        load_config(write(text.format(tasks=both, names="chung")))
    with pytest.raises(ConfigError, match=r"published_metrics is \['he2024', 'he2024'\]: name each publication once"):
        load_config(write(text.format(tasks=both, names="he2024, he2024")))
    message = (
        r"published_metrics has he2024, eee402, whose metrics need both tasks, but model\.tasks is classification: "
    )
    with pytest.raises(ConfigError, match=message + "remove he2024, eee402, or add the other task"):
        load_config(write(text.format(tasks="[classification]", names="he2024, chung2024, eee402")))


def test_evaluated_classes(write: Write) -> None:
    text = "model: {{name: a}}\nevaluation: {{classes: [{names}]}}"
    assert load_config(write(text.format(names="malignant, benign"))).evaluation.classes == ("malignant", "benign")
    with pytest.raises(ConfigError, match=r"unknown class in evaluation\.classes 'malign': did you mean 'malignant'"):
        load_config(write(text.format(names="benign, malign")))
    for names in ("benign", "benign, benign", ""):
        with pytest.raises(ConfigError, match=r"classes is \[.*\]: name at least two classes, each once, or null"):
            load_config(write(text.format(names=names)))


@pytest.mark.parametrize("name", ["a\nb", "caf\udce9", "x/b\udcff #1", "a#1", "50% of 7?"])
def test_the_name_of_a_folder_in_an_override_is_not_changed(name: str) -> None:
    config = build_config({"model": {"name": "unet"}}, [f"data.root=/{name}"], "example")
    assert config.data.root == Path(f"/{name}")


@pytest.mark.parametrize("value", ["/scans #2", "#2", "/a b  #c", "[1, 2] # sizes"])
def test_a_comment_in_an_override_is_not_dropped(value: str) -> None:
    with pytest.raises(ConfigError, match=r"--set data\.root=.*: the value is not YAML: #.* is a comment: quote the"):
        build_config({"model": {"name": "unet"}}, [f"data.root={value}"], "example")
    assert build_config({"model": {"name": "unet"}}, ["data.root='/scans #2'"], "x").data.root == Path("/scans #2")


def test_arguments_belong_to_the_name(write: Write) -> None:
    """Arguments of another network or optimizer are not inherited, and can be cleared."""
    model, optimizer = (
        "{name: acsnet, arguments: {widths: [4, 4, 4, 4, 4]}}",
        "{name: lion, arguments: {betas: [0.9, 0.9]}}",
    )
    path = write(f"model: {model}\noptimizer: {optimizer}\n")
    same = load_config(path, ["model.name=acsnet", "model.arguments.encoder=resnet34"])
    assert same.model.arguments == {"widths": [4, 4, 4, 4, 4], "encoder": "resnet34"}
    other = load_config(path, ["model.name=unet", "optimizer.name=adamw"])
    assert (other.model.arguments, other.optimizer.arguments) == ({}, {})
    for argument in ("model.arguments={depth: 3}", "model.arguments.depth=3"):
        for overrides in ([argument, "model.name=unet"], ["model.name=unet", argument]):
            assert load_config(path, overrides).model.arguments == {"depth": 3}, "in any order"
    cleared = load_config(path, ["model.arguments=null", "optimizer.arguments=null"])
    assert (cleared.model.arguments, cleared.optimizer.arguments) == ({}, {})
    child = path.with_name("child.yaml")
    child.write_text(f"base: {path.name}\nmodel: {{name: unetpp, arguments: {{width: 4}}}}\n", encoding="utf-8")
    assert load_config(child).model.arguments == {"width": 4}
    child.write_text(f"base: {path.name}\nmodel: {{}}\n", encoding="utf-8")
    assert load_config(child).model.name == "acsnet", "an empty section inherits everything"
