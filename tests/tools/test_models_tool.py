from collections.abc import Callable

import pytest

import acsnet
from acsnet.models import _registry

Invoke = Callable[..., tuple[int, str, str]]


@pytest.fixture
def short_zoo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two networks of the zoo, so that tables are made quickly."""
    names = ("acsnet", "fpn_resnet50")
    monkeypatch.setattr(_registry, "_ENTRIES", {name: _registry.model_entry(name) for name in names})


@pytest.mark.usefixtures("short_zoo")
def test_every_network_is_listed(invoke: Invoke) -> None:
    status, output, errors = invoke("models")
    assert (status, errors) == (0, "")
    header, *rows = output.splitlines()
    assert header.split()[:2] == ["name", "publication"]
    assert [row.split()[0] for row in rows] == ["acsnet", "fpn_resnet50"]
    assert "31.83" in rows[0]


def test_patterns(invoke: Invoke) -> None:
    status, output, _ = invoke("models", "deeplab*", "unet_resnet50")
    assert status == 0
    names = [row.split()[0] for row in output.splitlines()[1:]]
    assert names == [*acsnet.list_models("deeplab*"), "unet_resnet50"]


@pytest.mark.parametrize(("pattern", "near"), [("unet_resnt50", "unet_resnet50"), ("acsnt*", "acsnet")])
def test_an_unknown_pattern_is_one_line(pattern: str, near: str, invoke: Invoke) -> None:
    status, output, errors = invoke("models", pattern)
    assert (status, output) == (2, "")
    assert errors.startswith(f"error: unknown network '{pattern}': did you mean '{near}'")
    assert errors.count("\n") == 1


def test_help(invoke: Invoke) -> None:
    status, output, _ = invoke("models", "--help")
    assert status == 0
    assert "without the gather of deformable convolutions" in " ".join(output.split())
