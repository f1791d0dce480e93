"""The encoder x decoder pairs: one shared encoder, a decoder for the mask, a pooled linear classifier.

Chung et al.: "Beyond Traditional Approaches: Multi-Task Network for Breast Ultrasound Diagnosis", arXiv 2401.07326,
2024. Encoders come from timm, decoders from segmentation_models_pytorch (0.5 or newer) with that library's settings.

Where the publication is silent: the classifier looks at the deepest map of the encoder (448 channels for
EfficientNet-B4, whose last 1x1 convolution is left out), and its dropout has the rate 0.2; DeepLabV3+ dilates the last
encoder level, so that it has stride 16 (also where the class is the only task); the weights of every decoder and mask
head start as in that library's U-Net (He et al.'s in the decoder, Glorot's in the head).

Beyond the publication: any timm encoder with five feature levels, any number of classes and input channels, other
widths of the decoders, and either task alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from acsnet._utils.naming import look_up
from acsnet.errors import InputError
from acsnet.layers import Encoder, PooledLinearHead
from acsnet.models._base import MultiTaskModel, MultiTaskOutput
from acsnet.models._registry import TASKS, register_model


def _unet(channels: Sequence[int], widths: Sequence[int]) -> nn.Module:
    from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder

    return UnetDecoder(encoder_channels=channels, decoder_channels=widths)


def _unetpp(channels: Sequence[int], widths: Sequence[int]) -> nn.Module:
    from segmentation_models_pytorch.decoders.unetplusplus.decoder import UnetPlusPlusDecoder

    return UnetPlusPlusDecoder(encoder_channels=channels, decoder_channels=widths)


def _fpn(channels: Sequence[int], widths: Sequence[int]) -> nn.Module:
    from segmentation_models_pytorch.decoders.fpn.decoder import FPNDecoder

    return FPNDecoder(encoder_channels=channels, pyramid_channels=widths[0], segmentation_channels=widths[1])


def _deeplabv3plus(channels: Sequence[int], widths: Sequence[int]) -> nn.Module:
    from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3PlusDecoder

    return DeepLabV3PlusDecoder(
        encoder_channels=channels,
        encoder_depth=5,
        out_channels=widths[0],
        atrous_rates=(12, 24, 36),
        output_stride=16,
        aspp_separable=True,
        aspp_dropout=0.5,
    )


@dataclass(frozen=True)
class DecoderKind:
    """A decoder of segmentation_models_pytorch, and what it needs around it.

    Args:
        title: its name in running text.
        build: from the channels of the input and of the five encoder maps, and the widths, to the decoder.
        widths: that library's own; the last one is that of the decoder's output.
        kernel_size: of the convolution that makes the mask logits.
        upsampling: how much finer the input is than the decoder's output.
        output_stride: of the encoder.
        multiple: what the last width has to be a multiple of.
        smallest_batch: that training takes; two where one value an image and channel is normalized over the batch.
    """

    title: str
    build: Callable[[Sequence[int], Sequence[int]], nn.Module]
    widths: tuple[int, ...]
    kernel_size: int = 3
    upsampling: int = 1
    output_stride: int = 32
    multiple: int = 1
    smallest_batch: int = 1


DECODERS = {
    "unet": DecoderKind("U-Net", _unet, (256, 128, 64, 32, 16)),
    "unetpp": DecoderKind("U-Net++", _unetpp, (256, 128, 64, 32, 16)),
    "fpn": DecoderKind("FPN", _fpn, (256, 128), kernel_size=1, upsampling=4, multiple=32),
    "deeplabv3plus": DecoderKind(
        "DeepLabV3+", _deeplabv3plus, (256,), kernel_size=1, upsampling=4, output_stride=16, smallest_batch=2
    ),
}
# The name in the zoo -> the name in timm, the name in running text.
ENCODERS = {
    "resnet50": ("resnet50", "ResNet-50"),
    "resnext50": ("resnext50_32x4d", "ResNeXt-50 (32x4d)"),
    "wide_resnet50": ("wide_resnet50_2", "Wide ResNet-50-2"),
    "efficientnet_b4": ("efficientnet_b4", "EfficientNet-B4"),
}


class EncoderDecoder(MultiTaskModel):
    """A pair; see the module.

    Args:
        num_classes: K.
        in_channels: channels of the input.
        encoder_weights: ``"imagenet"`` or None.
        tasks: which tasks are built.
        encoder: a timm network with feature maps at strides 2, 4, 8, 16, 32; for DeepLabV3+ one that can be dilated.
        decoder: one of ``unet``, ``unetpp``, ``fpn``, ``deeplabv3plus``.
        decoder_channels: widths of the decoder, by default segmentation_models_pytorch's: five for U-Net and U-Net++,
            coarsest level first; two for FPN (the pyramid, then the mask branch: a multiple of 32); one for DeepLabV3+.
        dropout: of the classifier.

    Attributes:
        divisor: 32, or 16 with DeepLabV3+, whose encoder stops at stride 16.

    Raises:
        UnknownNameError: for an unknown encoder or decoder, with near matches.
        InputError: for an encoder with other feature levels, widths that the decoder cannot take, or a dropout outside
            0 to 1.
    """

    def __init__(
        self,
        num_classes: int = 3,
        in_channels: int = 3,
        encoder_weights: str | None = None,
        tasks: Sequence[str] = TASKS,
        encoder: str = "resnet50",
        decoder: str = "unet",
        decoder_channels: Sequence[int] | None = None,
        dropout: float = 0.2,
    ) -> None:
        super().__init__(num_classes, in_channels, tasks)
        kind = look_up("decoder", decoder, DECODERS, "")
        widths = _check_widths(decoder, kind, kind.widths if decoder_channels is None else decoder_channels)
        self.divisor = kind.output_stride
        self.smallest_batch = kind.smallest_batch if "segmentation" in self.tasks else 1
        self.encoder = Encoder(encoder, in_channels, encoder_weights, kind.output_stride)
        if "segmentation" in self.tasks:
            self.decoder = kind.build((in_channels, *self.encoder.channels), widths)
            self.seg_head = _mask_head(kind, widths[-1])
            _initialize(self.decoder, self.seg_head)
        if "classification" in self.tasks:
            self.cls_head = PooledLinearHead(self.encoder.channels[-1], num_classes, dropout)

    def forward_tasks(self, images: torch.Tensor) -> MultiTaskOutput:
        """(B, in_channels, H, W) -> mask logits (B, 1, H, W), class logits (B, K).

        Raises:
            InputError: for one image a batch in training where the decoder normalizes over the batch alone.
        """
        if self.training and not torch.compiler.is_compiling():
            self._check_batch(images.shape[0])
        features = self.encoder(images)  # (B, C_i, H/2^(i+1), W/2^(i+1)), no smaller than H/divisor, W/divisor
        mask = label = None
        if "segmentation" in self.tasks:
            # The decoders count the input as the level of stride 1.
            mask = self.seg_head(self.decoder([images, *features]))
        if "classification" in self.tasks:
            label = self.cls_head(features[-1])
        return MultiTaskOutput(mask, label)

    def _check_batch(self, batch: int) -> None:
        if batch < self.smallest_batch:
            raise InputError(
                f"training this network takes at least {self.smallest_batch} images a batch, got {batch}: its decoder "
                "normalizes one value an image over the batch (in a configuration: training.batch_size)"
            )


def _check_widths(decoder: str, kind: DecoderKind, widths: Sequence[int]) -> tuple[int, ...]:
    # A tuple, since segmentation_models_pytorch slices and adds them.
    given = tuple(widths) if isinstance(widths, Sequence) else ()
    whole = all(type(width) is int and width > 0 for width in given)
    if len(given) != len(kind.widths) or not whole or given[-1] % kind.multiple:
        last = f", the last a multiple of {kind.multiple}" if kind.multiple > 1 else ""
        raise InputError(
            f"decoder_channels is {widths!r}: the decoder {decoder!r} needs a list of {len(kind.widths)}, each a whole "
            f"number of at least 1{last}, as in {list(kind.widths)}"
        )
    return given


def _mask_head(kind: DecoderKind, channels: int) -> nn.Module:
    from segmentation_models_pytorch.base import SegmentationHead

    return SegmentationHead(channels, 1, kernel_size=kind.kernel_size, activation=None, upsampling=kind.upsampling)


def _initialize(decoder: nn.Module, mask_head: nn.Module) -> None:
    from segmentation_models_pytorch.base import initialization

    initialization.initialize_decoder(decoder)
    initialization.initialize_head(mask_head)


def _register_pairs() -> None:
    for decoder, kind in DECODERS.items():
        for encoder, (timm_name, title) in ENCODERS.items():
            register_model(
                f"{decoder}_{encoder}",
                publication="Chung et al. 2024, arXiv 2401.07326",
                adds=f"{kind.title} decoder on {title}, pooled linear classifier",
                input_size=(448, 448),
                defaults={"encoder": timm_name, "decoder": decoder},
            )(EncoderDecoder)


_register_pairs()
