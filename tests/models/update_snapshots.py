"""Write tests/models/snapshots/<name>.json: shapes of each network's state dict, and outputs of a tiny one.

Run ``python tests/models/update_snapshots.py [NAME ...]`` after an intended change of state dicts or outputs, and
mention it in the commit: older checkpoints can then no longer be loaded.
"""

import json
import math
import sys
import zlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from acsnet import create_model, list_models
from acsnet.models import model_entry

SNAPSHOTS = Path(__file__).parent / "snapshots"
SCRIPT = "python tests/models/update_snapshots.py"

_TINY_ENCODER = "mobilenetv3_small_050"
# Arguments that make each network small and fast.
TINY: dict[str, dict[str, Any]] = {
    "acsnet": {"encoder": _TINY_ENCODER, "widths": [16, 16, 16, 16, 16]},
    "unet": {"width": 8},
    "gated_unet": {"width": 8},
    "unetpp": {"width": 4},
    "unetpp_refined": {"width": 4},
    "unetpp_lesion_weighted": {"width": 4},
    "mt_nnunet": {"width": 4},
    "mt_unetpp": {"widths": [4, 4, 4, 4, 4, 4]},
    "efficientnet_cbam": {"encoder": _TINY_ENCODER, "width": 2, "reduction": 2},
    "two_networks": {"network": "unet", "arguments": {"width": 4, "depth": 2}},
}
_TINY_DECODERS = {"unet": [16] * 5, "unetpp": [16] * 5, "fpn": [32, 32], "deeplabv3plus": [16]}
for _decoder, _channels in _TINY_DECODERS.items():
    for _encoder in ("resnet50", "resnext50", "wide_resnet50", "efficientnet_b4"):
        TINY[f"{_decoder}_{_encoder}"] = {"encoder": _TINY_ENCODER, "decoder_channels": _channels}


def tiny_arguments(name: str) -> dict[str, Any]:
    """Return the arguments that make a network tiny."""
    assert name in TINY, f"{name} is registered, but TINY in {__file__} has no entry for it: add small arguments"
    return dict(TINY[name])


def distinct_names() -> list[str]:
    """Names whose tiny networks differ: pairs with the same decoder are equal once their encoder is the tiny one."""
    first: dict[str, str] = {}
    for name in list_models():
        entry = model_entry(name)
        what = [entry.builder.__qualname__, dict(entry.defaults) | TINY.get(name, {"name": name})]
        first.setdefault(json.dumps(what, sort_keys=True), name)
    return list(first.values())


def build_tiny(name: str, **arguments: Any) -> Any:
    """Build a tiny network with the same random weights each time."""
    torch.manual_seed(0)
    return create_model(name, **(tiny_arguments(name) | arguments))


def wave(count: int, frequency: float) -> torch.Tensor:
    """Pseudo-random numbers that, unlike those of a generator, are the same on all machines and versions."""
    return torch.sin(frequency * torch.arange(1, count + 1, dtype=torch.float64) ** 1.5)


def fill(network: nn.Module) -> nn.Module:
    """Set all tensors of a network to values that depend only on their names and shapes."""
    for key, value in network.state_dict().items():
        if not value.is_floating_point():
            continue
        values = wave(value.numel(), 0.5 + zlib.crc32(key.encode()) % 1000 / 1000).reshape(value.shape)
        if value.ndim > 1:
            values = values * math.sqrt(2 / value[0].numel())
        elif key.endswith(("running_var", "weight")):
            values = 1 + 0.3 * values
        else:
            values = 0.1 * values
        with torch.no_grad():
            value.copy_(values)
    return network


def snapshot(name: str) -> dict[str, Any]:
    """Shapes of the state dict of the full network, and outputs of a tiny one."""
    with torch.device("meta"):  # only shapes, without the time to initialize weights
        shapes = {key: list(value.shape) for key, value in create_model(name).state_dict().items()}
    network = fill(build_tiny(name)).eval()
    images = wave(2 * 3 * 64 * 96, 0.7).reshape(2, 3, 64, 96).float()
    with torch.inference_mode():
        output = network(images)
    return {"shapes": shapes, "label": _round(output.label), "mask": _round(output.mask[:, 0, ::16, ::16])}


def _round(values: torch.Tensor) -> list[Any]:
    return json.loads(json.dumps(values.double().tolist()), parse_float=lambda text: float(f"{float(text):.6g}"))


def main() -> None:
    """Write the snapshots of the networks on the command line, or of all networks."""
    names = sys.argv[1:] or list_models()
    SNAPSHOTS.mkdir(exist_ok=True)
    for name in names:
        text = json.dumps(snapshot(name)).replace('], "', '],\n"')
        (SNAPSHOTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    if not sys.argv[1:]:
        for path in SNAPSHOTS.glob("*.json"):
            if path.stem not in names:
                path.unlink()


if __name__ == "__main__":
    main()
