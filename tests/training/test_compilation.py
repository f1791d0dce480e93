from typing import Any

import pytest
import torch
from fixtures.torch_versions import needs_compile

from acsnet.config import build_config
from acsnet.errors import ConfigError
from acsnet.training import prepare_training
from acsnet.training.compilation import can_compile, check_compile


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("2.4.0+cu121", False),
        ("2.4.1", False),
        ("2.5.0+cu124", True),
        ("2.6.0", True),
        ("2.10.0+cpu", True),
        ("2.14.0.dev20260101", True),
    ],
)
def test_versions_that_compile(version: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", version)
    assert can_compile() is expected
    check_compile(False)
    if not expected:
        message = r"^training\.compile needs PyTorch 2\.5 or newer, 2\.\S+ is installed: pip install -U torch, or leave"
        with pytest.raises(ConfigError, match=message):
            check_compile(True)


@needs_compile
def test_the_installed_version_compiles() -> None:
    check_compile(True)


def test_old_pytorch_is_refused_before_any_image_is_decoded(
    tiny_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "__version__", "2.4.0")
    settings = {**tiny_settings, "data": {"root": "/nowhere"}, "training": {"compile": True}}
    with pytest.raises(ConfigError, match=r"training\.compile needs PyTorch 2\.5"):
        prepare_training(build_config(settings, [], "example"), progress=False)
