"""Configurations by name: list, find, describe, copy."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from acsnet.config import catalog, config_table, copy_configs, find_config, list_configs, load_config
from acsnet.config.loading import list_files
from acsnet.errors import ConfigError, UnknownNameError

REPOSITORY = Path(__file__).resolve().parents[2]
Invoke = Callable[..., tuple[int, str, str]]


def test_every_configuration_is_listed_and_found() -> None:
    files = {path for path in (REPOSITORY / "configs").rglob("*.yaml") if path.parent.name != "bases"}
    assert {find_config(name) for name in list_configs()} == files
    assert len(list_configs("pairs/unet_*")) == 4
    assert list_configs("nothing*") == ()


@pytest.mark.parametrize("path", ["acsnet_busi.yaml", "mine/a.yml", Path("/x/unet_busi.yaml")])
def test_a_path_is_a_path(path: str | Path) -> None:
    assert find_config(path) == Path(path)


@pytest.mark.parametrize(
    ("name", "near"),
    [("acsnt_busi", "acsnet_busi"), ("pair/unet_resnet50_busi", "pairs/unet_resnet50_busi"), ("bases/pairs", "")],
)
def test_unknown_names_have_near_matches(name: str, near: str) -> None:
    guess = f": did you mean '{near}'" if near else ": "
    for function in (
        find_config,
        lambda unknown: config_table([unknown]),
        lambda unknown: copy_configs([unknown], Path()),
    ):
        with pytest.raises(
            UnknownNameError, match=rf"unknown configuration '{name}'{guess}.*`acsnet configs` lists all"
        ):
            function(name)


def test_the_table_describes_every_configuration(invoke: Invoke) -> None:
    status, output, errors = invoke("configs")
    assert (status, errors) == (0, "")
    rows = [re.split(r"  +", line.strip(), maxsplit=1) for line in output.splitlines()[1:]]
    assert tuple(row[0] for row in rows) == list_configs()
    assert all(len(row) == 2 for row in rows), "each has a description"
    described = dict(rows)
    assert described["ablation/both_oversampled"] == "Both tasks, with oversampling."
    assert described["pairs/unet_resnet50_busi"].startswith("Recommended training of the pairs"), "from its base"


def test_patterns_choose_rows(invoke: Invoke) -> None:
    output = invoke("configs", "published/he2024/*", "acsnet_phantom")[1]
    names = [line.split()[0] for line in output.splitlines()[1:]]
    assert names == ["acsnet_phantom", "published/he2024/acsnet_busi", "published/he2024/acsnet_udiat"]


def test_copies_load_and_say_the_same(invoke: Invoke, tmp_path: Path) -> None:
    names = ["published/aumente2025/mt_pr", "pairs/fpn_resnet50_busi", "searches/lambda"]
    status, output, errors = invoke("configs", "--copy", *names, "--out", tmp_path / "mine")
    assert status == 0, errors
    copies = [tmp_path / "mine" / f"{name}.yaml" for name in names]
    assert output.splitlines() == [*map(str, copies)]
    for name, copy in zip(names[:2], copies[:2], strict=True):
        assert load_config(copy) == load_config(find_config(name))
        assert all(file.is_relative_to(tmp_path) for file in list_files(copy)), "no base of the project is used"
    assert copy_configs(names[:1], tmp_path / "mine") == copies[:1], "the same files may be there"


@pytest.mark.parametrize("name", ["pairs/fpn_resnet50_busi.yaml", "bases/pairs.yaml"])
def test_nothing_is_overwritten(name: str, invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text("mine: 1")
    status, output, errors = invoke("configs", "--copy", "unet_busi", "pairs/fpn_resnet50_busi", "--out", tmp_path)
    assert (status, output) == (2, "")
    message = f"{tmp_path / name} is there already and is never overwritten: choose another folder by --out"
    assert errors == f"error: {message}\n"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / name]
    assert (tmp_path / name).read_text() == "mine: 1"


def test_a_folder_in_the_place_of_a_copy(tmp_path: Path) -> None:
    (tmp_path / "unet_busi.yaml").mkdir()
    with pytest.raises(ConfigError, match=r"unet_busi\.yaml is there already"):
        copy_configs(["unet_busi"], tmp_path)


def test_configurations_that_are_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(catalog, "_PLACES", (tmp_path / "configs",))
    with pytest.raises(ConfigError, match=r"the configurations are not installed: expected them in .*configs"):
        list_configs()


def test_a_path_of_a_clone_has_the_name_in_its_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    message = r"^there is no configuration file configs/acsnet_busi\.yaml; the one of the project is named acsnet_busi$"
    with pytest.raises(ConfigError, match=message):
        find_config("configs/acsnet_busi.yaml")
    assert find_config("mine/acsnet.yaml") == Path("mine/acsnet.yaml")


@pytest.mark.parametrize("name", list_configs())
def test_a_description_is_whole_sentences(name: str) -> None:
    description = config_table([name]).splitlines()[1].removeprefix(name).strip()
    assert description.endswith(".")
    assert ". " not in description.replace("et al. ", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# One sentence.\na: 1\n", "One sentence."),
        ("a: 1\n# As Chung et al. 2024,\n# in two lines. A second one.\n", "As Chung et al. 2024, in two lines."),
        ("# With a command:\n#   acsnet train a\n# and more.\n", "With a command:"),
        ("#\n# Not about this.\n", ""),
        ("a: 1 # of a key\n", ""),
    ],
)
def test_the_first_sentence(text: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    assert catalog._describe(tmp_path / "a.yaml") == expected


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs").rglob("*.yaml")), ids=lambda path: path.stem)
def test_comments_name_nothing_of_a_clone(path: Path) -> None:
    """Installed and copied configurations are not in the folder configs/."""
    comments = " ".join(line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#"))
    assert re.findall(r"(?:configs|tools|docs|scripts|checkpoints)/\S*|README\S*|\S+\.md\b", comments) == []
    names = set(list_configs())
    for command in re.findall(r"#   acsnet (?:crossval|sweep|train) (.*?) --work-dir", comments):
        named = [word for word in command.split() if word not in ("#", "--search")]
        assert named
        assert {*named} <= names
