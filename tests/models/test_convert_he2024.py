"""Against an independent restatement of the publication's network, with its names, orders and numbering."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional
from torchvision.models import resnet18
from torchvision.ops import deform_conv2d

import acsnet
from acsnet.checkpoints import read_weights
from acsnet.errors import CheckpointError, InputError, UnknownNameError
from acsnet.models import ACSNet
from acsnet.models._convert_he2024 import convert_he2024, import_he2024_file

Tensors = dict[str, torch.Tensor]
Invoke = Callable[..., tuple[int, str, str]]

# SHA-256 of the publication's 388 keys and shapes, in order, for two classes.
PUBLISHED_KEYS = "fdfc2f4eee96752a813a7fb232074f01ff0978f7f911fc012cc43e01f4335e5f"


def norm_act(channels: int, groups: int) -> list[nn.Module]:
    return [nn.GroupNorm(groups, channels), nn.ReLU()]


class Gate(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.output = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), *norm_act(channels, channels // 4))
        self.gate = nn.Sequential(
            nn.Conv2d(channels, channels // 8, 3, padding=1), *norm_act(channels // 8, channels // 16),
            nn.Conv2d(channels // 8, 2, 3, padding=1), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second = self.gate(x).split(1, dim=1)
        average = first.mean(dim=(1, 2, 3)).view(-1, 1, 1, 1)
        maximum = second.flatten(1).max(dim=1).values.view(-1, 1, 1, 1)
        return self.output(x * average + x * maximum)


class DeformConv(nn.Module):
    """Offsets: nine rows, then nine columns, unless told to interleave them."""

    interleaved = False

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, bias=False)
        self.p_conv = nn.Conv2d(in_channels, 18, 3, padding=1)
        self.m_conv = nn.Conv2d(in_channels, 9, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        offset = self.p_conv(x)
        if not self.interleaved:
            offset = torch.stack([offset[:, c] for tap in range(9) for c in (tap, tap + 9)], dim=1)
        return deform_conv2d(x, offset, self.conv.weight, padding=1, mask=torch.sigmoid(self.m_conv(x)))


class SpatialAttention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dcn1 = nn.Sequential(DeformConv(channels, channels), *norm_act(channels, channels // 4))
        self.dcn2 = nn.Sequential(DeformConv(2 * channels, channels), *norm_act(channels, channels // 4))
        self.conv1 = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.Sigmoid())
        self.conv2 = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        c = self.dcn1(x)
        a = self.conv1(c.mean(dim=1, keepdim=True))
        b = self.conv2(c.max(dim=1, keepdim=True).values)
        return self.dcn2(torch.cat([a * c, b * c], dim=1))


class ChannelAttention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Sequential(
            nn.Linear(2 * channels, channels // 16), nn.ReLU(), nn.Linear(channels // 16, channels), nn.Sigmoid()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = torch.cat([x.mean(dim=(2, 3)), x.flatten(2).max(dim=2).values], dim=1)
        return functional.relu(x * self.linear(pooled)[:, :, None, None])


class Classifier(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(1280, 640), nn.ReLU(), nn.Linear(640, num_classes))
        self.ca1, self.ca2, self.ca3 = ChannelAttention(256), ChannelAttention(512), ChannelAttention(512)

    def forward(self, layer3: torch.Tensor, layer4: torch.Tensor, f1: torch.Tensor) -> torch.Tensor:
        maps = [self.ca1(layer3), upsample(self.ca2(layer4)), self.ca3(f1)]
        return self.fc(torch.cat(maps, dim=1).mean(dim=(2, 3)))


def upsample(x: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def double(channels: int, groups: int) -> nn.Sequential:
    convolution = [nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2)]
    return nn.Sequential(convolution[0], *norm_act(channels, groups), convolution[1], *norm_act(channels, groups))


def reduction(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, channels, 1), nn.ReLU())


class PublishedACSNet(nn.Module):
    """The publication's network as its code names and numbers it."""

    def __init__(self, num_classes: int = 2) -> None:
        super().__init__()
        self.base_model = resnet18(weights=None)
        base = list(self.base_model.children())
        self.layer0 = nn.Sequential(*base[:3])
        self.layer1 = nn.Sequential(*base[3:5])
        self.layer2, self.layer3, self.layer4 = base[5:8]
        self.conv2, self.conv3, self.conv4 = double(512, 16), double(256, 8), double(128, 4)
        self.conv5 = nn.Sequential(
            nn.Conv2d(128, 128, 1), nn.ReLU(), nn.Conv2d(128, 128, 3, padding=1), *norm_act(128, 4)
        )
        self.up1, self.up2 = reduction(512, 256), reduction(512, 128)
        self.up3, self.up4 = reduction(256, 64), reduction(128, 64)
        self.out = nn.Sequential(
            nn.UpsamplingBilinear2d(scale_factor=2), nn.Conv2d(128, 128, 3, padding=1), *norm_act(128, 4),
            nn.Conv2d(128, 1, 1),
        )  # fmt: skip
        self.classfer = Classifier(num_classes)
        self.g1, self.g2, self.g3, self.g4, self.g5 = Gate(512), Gate(256), Gate(128), Gate(64), Gate(64)
        self.sa1, self.sa2 = SpatialAttention(512), SpatialAttention(256)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        l0 = self.layer0(x)
        l1 = self.layer1(l0)
        l2 = self.layer2(l1)
        l3 = self.layer3(l2)
        l4 = self.layer4(l3)
        f1 = self.sa1(self.conv2(torch.cat([self.g2(l3), upsample(self.up1(self.g1(l4)))], dim=1)))
        f2 = self.sa2(self.conv3(torch.cat([self.g3(l2), upsample(self.up2(f1))], dim=1)))
        f3 = self.conv4(torch.cat([self.g4(l1), upsample(self.up3(f2))], dim=1))
        f4 = self.conv5(torch.cat([self.g5(l0), upsample(self.up4(f3))], dim=1))
        return self.out(f4), self.classfer(l3, l4, f1)


def randomize(network: nn.Module) -> nn.Module:
    """Random values for every tensor, offsets of about a pixel included, at a scale that keeps activations alive."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, value in network.state_dict().items():
            if not value.is_floating_point():
                continue
            noise = torch.randn(value.shape, generator=generator, dtype=value.dtype)
            if key.endswith("running_var"):
                value.copy_(0.5 + noise.abs())
            elif value.ndim > 1:
                value.copy_(noise / value[0].numel() ** 0.5)
            else:
                value.copy_(0.1 * noise + (1 if key.endswith("weight") else 0))
    return network.eval()


@pytest.fixture(scope="module")
def published() -> nn.Module:
    """The restated network with random weights. Read-only."""
    return randomize(PublishedACSNet())


@pytest.fixture
def weights(published: nn.Module) -> Tensors:
    return dict(published.state_dict())


def test_the_restatement_has_the_published_keys(weights: Tensors) -> None:
    lines = [f"{key},{'x'.join(map(str, value.shape))}" for key, value in weights.items()]
    assert len(lines) == 388
    assert hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest() == PUBLISHED_KEYS


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-10)], ids=str)
@pytest.mark.parametrize("order", ["rows-then-columns", "interleaved"])
def test_the_converted_network_computes_the_same(
    order: Any, dtype: torch.dtype, tolerance: float, weights: Tensors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DeformConv, "interleaved", order == "interleaved")
    theirs = PublishedACSNet()
    theirs.load_state_dict(weights)
    ours = ACSNet(num_classes=2)
    ours.load_state_dict(convert_he2024(weights, order))
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1)).to(dtype)
    with torch.inference_mode():
        mask, label = theirs.to(dtype).eval()(images)
        output = ours.to(dtype).eval()(images)
    assert mask.std() > 0.01
    assert label.std() > 0.01
    assert (output.mask - mask).abs().max() < tolerance
    assert (output.label - label).abs().max() < tolerance


def test_the_wrong_offset_order_is_another_network(weights: Tensors) -> None:
    one, other = convert_he2024(weights), convert_he2024(weights, "interleaved")
    changed = {key for key in one if not torch.equal(one[key], other[key])}
    offsets = [f"decode{level}.1.{layer}.0.offset" for level in (2, 3) for layer in ("gather", "merge")]
    assert changed == {f"{name}.{kind}" for name in offsets for kind in ("weight", "bias")}


def test_wrappers_and_the_second_reference_do_not_matter(weights: Tensors) -> None:
    bare = {f"module.{key}": value for key, value in weights.items() if not key.startswith("base_model.")}
    one, other = convert_he2024(weights), convert_he2024(bare)
    assert one.keys() == other.keys() == ACSNet(num_classes=2).state_dict().keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_all_missing_unexpected_and_misshapen_keys_are_named(weights: Tensors) -> None:
    del weights["g1.gate.0.weight"], weights["out.4.bias"]
    weights |= {"aux.weight": torch.zeros(3), "up1.0.bias": torch.zeros(255)}
    with pytest.raises(CheckpointError) as error:
        convert_he2024(weights)
    text = str(error.value)
    assert text.startswith(
        "the weights are not those of the ACSNet publication's code (266 tensors besides base_model.*)"
    )
    assert "2 missing: out.4.bias (1,), g1.gate.0.weight (64, 512, 3, 3)" in text or (
        "2 missing: g1.gate.0.weight (64, 512, 3, 3), out.4.bias (1,)" in text
    )
    assert "1 unexpected: aux.weight (3,)" in text
    assert "1 of another shape: up1.0.bias is (255,), expected (256,)" in text


def test_another_network_is_refused_in_short() -> None:
    message = (
        r"none of the 2 tensors \(fc\.weight, fc\.bias, \.\.\.\) has a name of the ACSNet publication's code, such as "
        r"layer0\.0\.weight: expected a checkpoint of that code"
    )
    with pytest.raises(CheckpointError, match=message):
        convert_he2024({"fc.weight": torch.zeros(2, 3), "fc.bias": torch.zeros(2)})


def test_an_unknown_offset_order_is_named(weights: Tensors) -> None:
    with pytest.raises(UnknownNameError, match="unknown offset order 'interleave': did you mean 'interleaved'"):
        convert_he2024(weights, "interleave")  # type: ignore[arg-type]


def test_a_file_becomes_a_checkpoint(published: nn.Module, weights: Tensors, tmp_path: Path, invoke: Invoke) -> None:
    source, out = tmp_path / "published.safetensors", tmp_path / "acsnet.safetensors"
    save_file({key: value.clone() for key, value in weights.items()}, source)
    status, output, _ = invoke("import_weights", source, "--out", out, "--mean", "0.248", "--std", "0.151")
    assert (status, output) == (0, f"{out}: ACSNet with the classes benign, malignant\n")
    model = acsnet.load_model(out)
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert (model(images).mask - published(images)[0]).abs().max() < 1e-4
    assert (model.metadata.mean, model.metadata.std) == ((0.248,), (0.151,))
    assert model.metadata.class_names == ("benign", "malignant")
    assert model.metadata.selected_on == "test", "the code selects the epoch on the fold that it tests"
    assert len(read_weights(out)) == 266


def test_class_names_have_to_match(weights: Tensors, tmp_path: Path) -> None:
    save_file({key: value.clone() for key, value in weights.items()}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=r"a\.safetensors has 2 classes, got 3 names: a, b, c"):
        import_he2024_file(tmp_path / "a.safetensors", tmp_path / "out.safetensors", ("a", "b", "c"))
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize(("name", "content"), [("a.pth", b""), ("b.safetensors", b"PK\x03\x04"), ("c", b"\x80\x02")])
def test_pickled_files_are_never_opened(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"is a pickled file.*weights_only=True.*save_file"):
        import_he2024_file(tmp_path / name, tmp_path / "out.safetensors", ("benign", "malignant"))
