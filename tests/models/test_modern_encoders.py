"""Encoders without a map at stride 2, with other layouts of memory, and those that are built for one size."""

from pathlib import Path
from typing import Any

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from acsnet import create_model, load_model
from acsnet.checkpoints import CheckpointMetadata, save_checkpoint
from acsnet.config import EvaluationConfig, build_config
from acsnet.errors import CheckpointError, InputError, UnknownNameError
from acsnet.inference import Predictor
from acsnet.layers import Encoder, GlobalAverage, PooledFeatures
from acsnet.models import Ensemble
from acsnet.models._base import check_network_size
from acsnet.training.builders import build_model

SIZE = (64, 96)
#: The smallest of each family: its name, and the image size if it is built for one.
FAMILIES: dict[str, tuple[int, int] | None] = {
    "convnext_atto": None,
    "pvt_v2_b0": None,
    "efficientvit_b0": None,
    "mobilevit_xxs": None,
    "mambaout_femto": None,
    "edgenext_xx_small": None,
}
HEAVY: dict[str, tuple[int, int] | None] = {
    "convnextv2_atto": None,
    "swin_tiny_patch4_window7_224": None,
    "swinv2_tiny_window8_256": None,
    "swinv2_cr_tiny_224": None,
    "swin_s3_tiny_224": None,
    "davit_tiny": None,
    "poolformerv2_s12": None,
    "caformer_s18": None,
    "nextvit_small": None,
    "fastvit_t8": None,
    "tiny_vit_5m_224": None,
    "focalnet_tiny_srf": None,
    "repvit_m0_9": None,
    "rdnet_tiny": None,
    "inception_next_atto": None,
    "hgnetv2_b0": None,
    "mobilenetv4_hybrid_medium": None,
    "vgg11": None,
    "tresnet_m": None,
    "maxvit_pico_rw_256": (64, 96),
    "maxvit_tiny_tf_224": (64, 64),
    "coatnet_pico_rw_224": (64, 96),
    "maxxvit_rmlp_nano_rw_256": (64, 96),
    "efficientformerv2_s0": (64, 96),
    "gcvit_xxtiny": (64, 96),
    "hiera_tiny_224": (64, 64),
    "coat_tiny": (64, 96),
    "twins_pcpvt_small": (64, 96),
    "swiftformer_xs": (64, 96),
}
# They pool tokens, or maps with other layers, which classification alone does not take.
TOKENS = ("hiera_tiny_224", "coat_tiny", "twins_pcpvt_small", "mambaout_femto")
NETWORKS: dict[str, dict[str, Any]] = {
    "unet_resnet50": {"decoder_channels": [16] * 5},
    "unetpp_resnet50": {"decoder_channels": [16] * 5},
    "fpn_resnet50": {"decoder_channels": [16, 32]},
    "acsnet": {"widths": [16] * 5},
    "efficientnet_cbam": {"width": 2, "reduction": 2},
}
every_network = pytest.mark.parametrize("name", NETWORKS)


def build(name: str, encoder: str, **arguments: Any) -> nn.Module:
    torch.manual_seed(0)
    return create_model(name, **NETWORKS[name], encoder=encoder, **arguments)


def images(size: tuple[int, int] = SIZE) -> torch.Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))


def check(name: str, encoder: str, only_size: tuple[int, int] | None) -> None:
    """Both outputs have their shapes, and every parameter a gradient."""
    network = build(name, encoder, **({} if only_size is None else {"image_size": only_size})).train()
    size = only_size or SIZE
    output = network(images(size))
    assert output.mask.shape == (2, 1, *size)
    assert output.label.shape == (2, 3)
    (output.mask.square().mean() + output.label.square().mean()).backward()
    assert [key for key, parameter in network.named_parameters() if parameter.grad is None] == []


# --- every family in every network -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("encoder", "name"), list(zip(FAMILIES, [*NETWORKS, "unet_resnet50"], strict=True)))
def test_a_modern_encoder_in_a_network(encoder: str, name: str) -> None:
    check(name, encoder, FAMILIES[encoder])


@pytest.mark.slow
@pytest.mark.parametrize("encoder", FAMILIES | HEAVY)
@every_network
def test_every_modern_encoder_in_every_network(encoder: str, name: str) -> None:
    check(name, encoder, (FAMILIES | HEAVY)[encoder])


def test_the_map_at_stride_2_is_that_at_stride_4_enlarged() -> None:
    encoder = Encoder("convnext_atto").eval()
    assert encoder.channels == (40, 40, 80, 160, 320)
    with torch.inference_mode():
        maps = encoder(images())
        own = encoder.network(images())
    assert [tuple(x.shape[2:]) for x in maps] == [(64 // stride, 96 // stride) for stride in (2, 4, 8, 16, 32)]
    expected = nn.functional.interpolate(maps[1], scale_factor=2, mode="bilinear", align_corners=True)
    assert torch.equal(maps[0], expected)
    assert all(torch.equal(mine, other) for mine, other in zip(maps[1:], own, strict=True))


def test_channels_last_maps_are_turned() -> None:
    encoder = Encoder("mambaout_femto").eval()
    with torch.inference_mode():
        maps, own = encoder(images()), encoder.network(images())
    assert [x.shape[1] for x in maps] == list(encoder.channels)
    assert torch.equal(maps[1], own[0].permute(0, 3, 1, 2))


def test_a_level_at_stride_1_is_left_out() -> None:
    with torch.device("meta"):
        encoder = Encoder("vgg11")
        maps = encoder(torch.empty(1, 3, *SIZE))
    assert encoder.channels == (128, 256, 512, 512, 512)
    assert [tuple(x.shape[2:]) for x in maps] == [(64 // stride, 96 // stride) for stride in (2, 4, 8, 16, 32)]


def test_swin_takes_any_size() -> None:
    with torch.device("meta"):
        encoder = Encoder("swin_tiny_patch4_window7_224")
        assert encoder.image_size is None
        for height, width in ((32, 64), (96, 160)):
            assert encoder(torch.empty(1, 3, height, width))[-1].shape == (1, 768, height // 32, width // 32)


def test_the_fpn_decoder_computes_what_the_library_computes() -> None:
    ours = build("fpn_resnet50", "tu-convnext_atto").eval()
    theirs = smp.FPN(
        "tu-convnext_atto", encoder_weights=None, decoder_pyramid_channels=16, decoder_segmentation_channels=32
    ).eval()
    theirs.encoder.model.load_state_dict(ours.encoder.network.state_dict())
    theirs.decoder.load_state_dict(ours.decoder.state_dict())
    theirs.segmentation_head.load_state_dict(ours.seg_head.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(ours(images()).mask, theirs(images()))


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", ["convnext_atto"])
def test_the_prefix_of_the_library_changes_nothing(encoder: str) -> None:
    with torch.device("meta"):
        for name in ("unet_resnet50", "acsnet"):
            plain, prefixed = build(name, encoder), build(name, f"tu-{encoder}")
            assert {k: v.shape for k, v in plain.state_dict().items()} == {
                k: v.shape for k, v in prefixed.state_dict().items()
            }
    dilated = [
        [module.dilation for module in build_deeplab(name).modules() if isinstance(module, nn.Conv2d)]
        for name in (encoder, f"tu-{encoder}")
    ]
    assert dilated[0] == dilated[1]


def build_deeplab(encoder: str) -> nn.Module:
    with torch.device("meta"):
        return create_model("deeplabv3plus_resnet50", encoder=encoder, decoder_channels=[16])


@pytest.mark.parametrize("encoder", ["convnext_ato", "tu-convnext_ato", "tu-convnext_ato.d2_in1k"])
def test_an_unknown_encoder_has_near_matches(encoder: str) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown encoder 'convnext_ato': did you mean 'convnext_atto'"):
        build("unet_resnet50", encoder)


def test_encoders_without_a_pyramid_are_refused() -> None:
    for size in ({}, {"image_size": [224, 224]}):
        message = r"encoder 'nest_tiny' has feature maps at strides \(4, 8, 16\), expected five at \(2, 4, 8, 16, 32\)"
        with torch.device("meta"), pytest.raises(InputError, match=message):
            build("unet_resnet50", "nest_tiny", **size)


# --- DeepLabV3+ ------------------------------------------------------------------------------------------------------


def test_deeplab_dilates_convnext() -> None:
    network = build_deeplab("convnext_atto")
    assert network.encoder.strides == (2, 4, 8, 16, 16)
    output = network.eval()(torch.empty(2, 3, 48, 80, device="meta"))
    assert output.mask.shape == (2, 1, 48, 80)


@pytest.mark.parametrize("encoder", ["pvt_v2_b0", "swin_tiny_patch4_window7_224", "efficientvit_b0"])
def test_deeplab_refuses_encoders_that_cannot_be_dilated(encoder: str) -> None:
    message = (
        rf"encoder '{encoder}' cannot be used for feature maps with output stride 16: .*unexpected keyword.*: use one "
        r"that can be dilated, such as resnet18 or convnext_tiny, or a decoder without dilation"
    )
    with pytest.raises(InputError, match=message):
        build_deeplab(encoder)


# --- one size --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("encoder", "size"), [("maxvit_pico_rw_256", 256), ("tu-hiera_tiny_224", 224)])
def test_an_encoder_for_one_size_says_which(encoder: str, size: int) -> None:
    with pytest.raises(InputError) as caught:
        build("unet_resnet50", encoder)
    assert str(caught.value) == (
        f"encoder '{encoder}' is built for one size of images: add image_size=[{size}, {size}], the size of its "
        "pretrained weights, or another [height, width] (in a configuration: model.arguments.image_size, equal to "
        "data.image_size)"
    )


def test_other_sizes_are_refused_with_both() -> None:
    with torch.device("meta"):
        network = build("unet_resnet50", "maxvit_pico_rw_256", image_size=[64, 96])
    assert network.image_size == (64, 96)
    message = (
        r"images are 96x64 \(height x width\), but the network was built for 64x96: resize them, or build it with "
        r"image_size=\[96, 64\]"
    )
    for call in (network, network.forward_features, lambda x: check_network_size(tuple(x.shape[2:]), network)):
        with pytest.raises(InputError, match=message):
            call(torch.empty(1, 3, 96, 64, device="meta"))
    with pytest.raises(InputError, match=message):
        Ensemble([network])(torch.empty(1, 3, 96, 64, device="meta"))
    check_network_size((64, 96), Ensemble([network]))


@pytest.mark.parametrize("size", [[64], [64, 100], [0, 64], "64", [64, 64.0]])
def test_sizes_that_are_none(size: Any) -> None:
    with pytest.raises(InputError, match=r"encoder 'maxvit_pico_rw_256' needs \[height, width\], both positive multi"):
        build("unet_resnet50", "maxvit_pico_rw_256", image_size=size)


def test_a_size_that_is_not_needed() -> None:
    for encoder in ("resnet18", "convnext_atto", "swin_tiny_patch4_window7_224"):
        message = rf"image_size is \[64, 64\]: encoder '{encoder}' takes images of any size; omit it"
        for tasks in (["segmentation"], ["classification"]):
            with pytest.raises(InputError, match=message):
                build("unet_resnet50", encoder, image_size=[64, 64], tasks=tasks)


def test_a_size_for_which_the_encoder_cannot_be_built() -> None:
    message = r"encoder 'efficientformer_l1' cannot be built for 64x64 .*: use image_size=\[224, 224\]"
    with pytest.raises(InputError, match=message):
        Encoder("efficientformer_l1", image_size=[64, 64])
    with torch.device("meta"):
        assert Encoder("efficientformer_l1", image_size=[224, 224]).image_size == (224, 224)


def test_maps_that_do_not_fit_together() -> None:
    encoder = Encoder("mobilevitv2_050").eval()
    message = (
        "encoder 'mobilevitv2_050' maps images of 64x96 to 2x4 at stride 32, where 2x3 is needed: use multiples of 64"
    )
    with torch.inference_mode():
        with pytest.raises(InputError) as caught:
            encoder(images())
        assert str(caught.value) == message
        assert encoder(images((64, 128)))[-1].shape == (2, 256, 2, 4)


# --- classification alone --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", ["convnext_atto", "pvt_v2_b0"])
def test_pooled_features_are_those_of_timm(encoder: str) -> None:
    torch.manual_seed(0)
    features = PooledFeatures(f"tu-{encoder}").eval()
    whole = timm.create_model(encoder, num_classes=0).eval()
    whole.load_state_dict(features.network.state_dict())
    with torch.inference_mode():
        found = features(images())
        torch.testing.assert_close(found, whole(images()))
        maps = features.deepest_maps(images())
    assert found.shape == (2, features.channels)
    assert maps.shape[2:] == (2, 3)
    assert sum(isinstance(module, GlobalAverage) for module in features.modules()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["swin_tiny_patch4_window7_224", "swinv2_cr_tiny_224"])
def test_pooled_features_of_swin(encoder: str) -> None:
    features = PooledFeatures(encoder).eval()
    whole = timm.create_model(encoder, num_classes=0, strict_img_size=False).eval()
    whole.load_state_dict(features.network.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(features(images()), whole(images()))


@pytest.mark.parametrize(
    "encoder",
    ["hiera_tiny_224", *(pytest.param(name, marks=pytest.mark.slow) for name in ("coat_tiny", "twins_svt_small"))],
)
def test_features_of_tokens_are_refused(encoder: str) -> None:
    message = f"encoder '{encoder}' cannot be used for classification: it does not average its feature maps; use"
    with torch.device("meta"), pytest.raises(InputError, match=message):
        PooledFeatures(encoder, image_size=[64, 64])


@pytest.mark.slow
@pytest.mark.parametrize("encoder", [name for name in FAMILIES | HEAVY if name not in TOKENS])
def test_classification_alone(encoder: str) -> None:
    only_size = (FAMILIES | HEAVY)[encoder]
    network = build("unet_resnet50", encoder, tasks=["classification"], image_size=only_size).train()
    output = network(images(only_size or SIZE))
    assert output.label.shape == (2, 3)
    output.label.square().mean().backward()
    assert [key for key, parameter in network.named_parameters() if parameter.grad is None] == []
    assert network.forward_features(images(only_size or SIZE)).shape[2:] == (
        (only_size or SIZE)[0] // 32,
        (only_size or SIZE)[1] // 32,
    )


# --- checkpoints, weights and configurations -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoder", "size"),
    [("tu-convnext_atto", None), pytest.param("maxvit_pico_rw_256", [32, 64], marks=pytest.mark.slow)],
)
def test_a_checkpoint_rebuilds_the_network(encoder: str, size: list[int] | None, tmp_path: Path) -> None:
    arguments = {**NETWORKS["unet_resnet50"], "encoder": encoder} | ({} if size is None else {"image_size": size})
    torch.manual_seed(0)
    network = create_model("unet_resnet50", **arguments).eval()
    metadata = CheckpointMetadata(
        model="unet_resnet50",
        arguments=arguments,
        class_names=("benign", "malignant", "normal"),
        input_size=size or SIZE,
        mean=(0.33,),
        std=(0.2,),
    )
    save_checkpoint(tmp_path / "a.safetensors", network.state_dict(), metadata)
    batch = images((32, 64))
    with torch.inference_mode():
        ours, theirs = load_model(tmp_path / "a.safetensors")(batch), network(batch)
    assert torch.equal(ours.mask, theirs.mask)
    assert torch.equal(ours.label, theirs.label)


@pytest.mark.parametrize("encoder", ["convnext_atto", pytest.param("pvt_v2_b0", marks=pytest.mark.slow)])
def test_weights_from_a_file(encoder: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    state = timm.create_model(encoder).state_dict()
    save_file(state, tmp_path / "a.safetensors")
    built = Encoder(f"tu-{encoder}", weights=tmp_path / "a.safetensors")
    assert built.pretrained is not None
    assert built.pretrained.encoder == encoder
    values = {key.replace(".", "_"): value for key, value in state.items()}
    assert all(torch.equal(value, values[key.replace(".", "_")]) for key, value in built.network.state_dict().items())


@pytest.mark.slow
def test_weights_of_another_size(tmp_path: Path) -> None:
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in timm.create_model("maxvit_pico_rw_256").state_dict().items()}
    save_file({key: torch.zeros(shape) for key, shape in shapes.items()}, tmp_path / "a.safetensors")
    message = r"a\.safetensors does not match encoder 'maxvit_pico_rw_256': .* with a different shape"
    with torch.device("meta"), pytest.raises(CheckpointError, match=message):
        Encoder("maxvit_pico_rw_256", weights=tmp_path / "a.safetensors", image_size=[64, 64])


def test_a_configuration_names_them() -> None:
    content = {"model": {"name": "unet_resnet50", "arguments": {"encoder": "tu-convnext_atto"}}}
    config = build_config(content, [], "test")
    with torch.device("meta"):
        network = build_model(config.model, config.data.classes)
    assert network.encoder.channels[-1] == 320


def test_scales_need_a_network_for_any_size() -> None:
    metadata = CheckpointMetadata(
        model="unet",
        arguments={"width": 4, "depth": 2},
        class_names=("benign", "malignant", "normal"),
        input_size=SIZE,
        mean=(0.33,),
        std=(0.2,),
    )
    evaluation = EvaluationConfig(test_time_augmentation={"scales": [1, 1.5], "horizontal_flip": True})
    network = create_model("unet", width=4, depth=2)
    Predictor(network, metadata, evaluation=evaluation)
    network.image_size = SIZE
    message = r"test_time_augmentation\.scales is \[1\.0, 1\.5\], but the network takes images of 64x96 .*: set it to"
    with pytest.raises(InputError, match=message):
        Predictor(network, metadata, evaluation=evaluation)
    flips = EvaluationConfig(test_time_augmentation={"scales": [1], "horizontal_flip": True})
    Predictor(network, metadata, evaluation=flips)
