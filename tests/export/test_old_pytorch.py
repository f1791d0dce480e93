from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acsnet.errors import InputError
from acsnet.export import export_checkpoint, formats

MESSAGE = r"exporting needs PyTorch 2\.6 or newer, .* is installed: pip install -U torch$"


@pytest.fixture(autouse=True)
def _old_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(formats.Dim, "DYNAMIC", raising=False)


@pytest.mark.parametrize("format", ["torch", "onnx"])
def test_old_pytorch_is_refused(save_tiny: Callable[..., Path], format: str) -> None:
    with pytest.raises(InputError, match=MESSAGE):
        export_checkpoint(save_tiny(), format)


def test_the_tool_refuses_old_pytorch(invoke: Any, save_tiny: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "a.pt2"
    status, output, errors = invoke("export", "--checkpoint", save_tiny(), "--format", "torch", "--out", out)
    assert (status, output) == (2, "")
    assert errors.startswith("error: exporting needs PyTorch 2.6 or newer, ")
    assert not out.exists()
