"""YAML that attacks: bombs, circles, deep nesting, odd types and files that are none. Each is one short line."""

import os
from pathlib import Path

import pytest

from acsnet._utils.yaml_files import MAX_BYTES, YamlError, parse_yaml, read_yaml
from acsnet.config import build_config, load_config
from acsnet.errors import ConfigError

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGE_BOMB = "a: &a {x: 1}\n" + "".join(
    f"{new}: &{new} {{<<: [{', '.join([f'*{old}'] * 10)}]}}\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
TALL = "a0: &a0 [1]\n" + "".join(f"a{number}: &a{number} [[[*a{number - 1}]]]\n" for number in range(1, 40))
WRONG = [
    (BOMB, r"line 5: with its aliases, this has more than 20000 values: remove some"),
    (TALL, r"line 18: with its aliases, this has more than 50 levels: remove some"),
    ("a: &a [1, *a]", r"line 1: an alias contains itself: write the values out"),
    ("a: &a\n  b: {c: *a}", r"line 2: an alias contains itself: write the values out"),
    ("a: *b", r"line 1: found undefined alias 'b'"),
    ("a: " + "[" * 100_000, r"line 1: lists and mappings have more than 50 levels: remove some"),
    ("a: " + "{x: " * 100_000, r"line 1: lists and mappings have more than 50 levels: remove some"),
    ("- " * 5_000, r"line 1: lists and mappings have more than 50 levels: remove some"),
    ("a: !!python/object/apply:os.system [exit]", r"line 1: the type tag:yaml.org,2002:python/object/apply:os.system"),
    ("b: 1\na: !!binary aGk=", r"line 2: the type tag:yaml.org,2002:binary is not allowed: write text, numbers"),
    ("a: !!set {x, y}", r"line 1: the type tag:yaml.org,2002:set is not allowed"),
    ("a: !!timestamp 2026-01-31", r"line 1: the type tag:yaml.org,2002:timestamp is not allowed"),
    ("a: !!omap [x: 1]", r"line 1: the type tag:yaml.org,2002:omap is not allowed"),
    ("a: !own 3", r"line 1: the type !own is not allowed"),
    ("a: !!bool maybe", r"'maybe'"),
    ("a: !!int ''", r"string index out of range"),
    ("a: !!float x", r"could not convert string to float: 'x'"),
    ("a: " + "9" * 5_000, r"Exceeds the limit \(4300 digits\) for integer string conversion"),
    ("a: 1\nb: x\0y", r"line 2: the character #x0000 is not allowed: remove it"),
    ("a: \x1b[31m", r"line 1: the character #x001b is not allowed: remove it"),
    ("a: \udce4", r"line 1: the character #xdce4 is not allowed: remove it"),
    ("a: 1\n---\nb: 1", r"line 2: expected a single document in the stream but found another document"),
    ("a: 1\n" * 2, r"line 2: key 'a' is given twice: remove one"),
    ("x: {a: 1,\n  'a': 2}", r"line 2: key 'a' is given twice: remove one"),
    ("<<: 3", r"line 1: <<: needs an alias of keys and values, or a list of them"),
    ("k" * 100_000 + ": 1\n" + "k" * 100_000 + ": 1", r"line 1: mapping values are not allowed here"),
    (f"? {'k' * 100_000}\n: 1\n? {'k' * 100_000}\n: 1", r"line 3: key 'k+ \[...\] k+' is given twice: remove one"),
    ("? [a]\n: 1", r"line 1: while constructing a mapping found unhashable key"),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=range(len(WRONG)))
def test_what_no_configuration_needs_is_one_short_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(YamlError, match=rf"^{message}") as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    path = tmp_path / "run.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    if "\udce4" in text:
        # A file with such bytes is not UTF-8, and an override may name a file with them.
        return
    with pytest.raises(ConfigError, match=rf"run\.yaml is not YAML: {message}"):
        read_yaml(path)
    with pytest.raises(
        ConfigError, match=rf"(?s)^--set model\.arguments=.*: the value is not YAML: {message}"
    ) as caught:
        build_config({"model": {"name": "a"}}, [f"model.arguments={text}"], "run.yaml")
    assert len(str(caught.value)) < 800


def test_aliases_and_merge_keys_within_the_limits() -> None:
    assert parse_yaml("a: &a [1, 2]\nb: [*a, *a]") == {"a": [1, 2], "b": [[1, 2], [1, 2]]}
    # The merged mapping lies deeper than the one that uses it, and is therefore completed later.
    text = "a: {b: {c: &c {<<: &d {x: 1, y: 1}, x: 2}}}\ne: {<<: *c}\nf: {<<: [*c, {z: 3}], y: 4}"
    assert parse_yaml(text) == {
        "a": {"b": {"c": {"x": 2, "y": 1}}},
        "e": {"x": 2, "y": 1},
        "f": {"x": 2, "y": 4, "z": 3},
    }
    assert parse_yaml(MERGE_BOMB)["i"] == {"x": 1}


@pytest.mark.parametrize("day", ["2026-01-31", "2024-99-99", "2026-01-31 10:00:00", "2026-1-3"])
def test_a_date_is_text(day: str) -> None:
    assert parse_yaml(f"data: {day}") == {"data": day}
    assert build_config({"model": {"name": "a"}}, [f"data.root={day}"], "x").data.root == Path(day)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-be", "utf-32"])
def test_text_in_another_encoding(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes("model: {name: a}\n# Größe\n".encode(encoding))
    with pytest.raises(ConfigError, match=r"run\.yaml is not YAML: line \d: .*") as caught:
        read_yaml(path)
    assert "save the file as UTF-8" in str(caught.value) or "#x0000 is not allowed" in str(caught.value)


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_bytes(b"\xef\xbb\xbfmodel: {name: a}\n")
    assert read_yaml(tmp_path / "run.yaml") == {"model": {"name": "a"}}


def test_what_is_not_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    loop = tmp_path / "loop.yaml"
    loop.symlink_to(loop)
    for path, message in [
        (tmp_path, "is a folder: name a YAML file"),
        (pipe, "is a pipe or a device: name a YAML file"),
        (Path("/dev/zero"), "is a pipe or a device: name a YAML file"),
        (loop, "cannot be read: Too many levels of symbolic links"),
        (tmp_path / ("x" * 300), "cannot be read: File name too long"),
        (tmp_path / "a\0b.yaml", "there is no configuration file"),
    ]:
        with pytest.raises(ConfigError, match=message):
            load_config(path)


@pytest.mark.parametrize("content", [b"# \n", b"\0", b"a"])
def test_a_huge_file_is_not_read(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.yaml"
    path.write_bytes(content * (MAX_BYTES // len(content) + 1))
    message = r"weights\.yaml has more than 1000000 bytes, too many for a configuration: name a YAML file"
    with pytest.raises(ConfigError, match=message):
        read_yaml(path)
