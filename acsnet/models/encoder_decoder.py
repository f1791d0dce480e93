"""Pairs of an encoder and a decoder: a shared encoder, a decoder for the mask, a pooled linear classifier.

Chung et al.: "Beyond Traditional Approaches: Multi-Task Network for Breast Ultrasound Diagnosis", arXiv 2401.07326,
2024. Encoders come from timm, decoders from segmentation_models_pytorch (0.5 or newer) with the settings of that
library.

::

    images -- encoder (timm) -- maps at strides 2, 4, 8, 16, 32 -- decoder -- mask head -- mask logits
                                               |
                                               +-- deepest map: pooling, dropout, linear layer -- class logits

Both tasks as in the publication's code: a network of segmentation_models_pytorch with its classification head, which
takes the deepest map of the encoder and has a dropout rate of 0.5 (the paper has no rate). EfficientNets pass the
output of their stem to the decoder at stride 2 (48 channels for EfficientNet-B4), as in that library; their last 1x1
convolution, which that library builds and never uses, is not built. DeepLabV3+ dilates the last encoder level, so that
its stride is 16; in ResNet-50, ResNeXt-50 and EfficientNet-B4 it dilates the convolution that would halve the size as
well, in Wide ResNet-50-2 only those after it, since the code takes that encoder from timm.

The single tasks are the publication's baselines: segmentation alone is the same network without the classifier;
classification alone is the complete classification network with a new last layer, for every decoder: with the last 1x1
convolution of an EfficientNet, without dilation, and without dropout, as in the publication's code. See
:mod:`acsnet.models.two_networks` for both side by side.

Differences from the publication: one mask channel, that of the lesion. The code has a second one for the background,
but all networks of this package return one foreground channel, so that losses, thresholds and metrics are the same for
all; the loss ``dice_foreground_background`` averages over foreground and background. The convolutions of EfficientNets
pad symmetrically, as in the training of these weights; that library pads at the bottom and right (to compare with it,
use the encoder ``tf_efficientnet_b4``). The weights of all decoders and mask heads are initialized as in the U-Net of
that library (He et al. in the decoder, Glorot in the head).

Beyond the publication: any timm encoder with a pyramid of feature maps, any number of classes and input channels, and
other decoder widths.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import nn
from typing_extensions import Unpack

from acsnet._utils.naming import look_up
from acsnet._utils.tracing import is_traced
from acsnet.errors import InputError
from acsnet.layers import Encoder, LinearHead, PooledFeatures, PooledLinearHead, is_efficientnet
from acsnet.layers.timm_networks import architecture
from acsnet.models._arguments import Counts, EncoderName, ImageSize, Name, Rate
from acsnet.models._base import MultiTaskModel, MultiTaskOutput
from acsnet.models._contract import Contract
from acsnet.models._registry import register_model


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
    """A decoder of segmentation_models_pytorch and its requirements.

    Attributes:
        title: name in running text.
        build: function that builds the decoder from the channels of the input and the five encoder maps, and the
            widths.
        widths: default widths of that library; the last one is the width of the decoder's output.
        kernel_size: kernel size of the convolution to the mask logits.
        upsampling: factor from the size of the decoder's output to that of the input.
        output_stride: stride of the deepest encoder map.
        multiple: number of which the last width must be a multiple.
        smallest_batch: smallest batch size in training; 2 if the decoder normalizes one value per image and channel
            over the batch.
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
# Name in the zoo: (name in timm with the tag of its weights, name in running text).
ENCODERS = {
    "resnet50": ("resnet50.tv_in1k", "ResNet-50"),
    "resnext50": ("resnext50_32x4d.tv_in1k", "ResNeXt-50 (32x4d)"),
    "wide_resnet50": ("wide_resnet50_2.tv_in1k", "Wide ResNet-50-2"),
    "efficientnet_b4": ("efficientnet_b4.ra2_in1k", "EfficientNet-B4"),
}
BOTH_TASKS_DROPOUT = 0.5
_ARGUMENTS = {
    "encoder": EncoderName,
    "decoder": Name,
    "decoder_channels": Counts | None,
    "dropout": Rate | None,
    "image_size": ImageSize | None,
}
# Encoders that segmentation_models_pytorch has itself, in addition to EfficientNets.
_LIBRARY_ENCODERS = re.compile(r"resnet(18|34|50|101|152)|resnext(50_32x4d|101_32x(4|8|16|32|48)d)")


class EncoderDecoder(MultiTaskModel):
    """An encoder with a decoder and a classifier; see the module.

    Args:
        encoder: name of a timm network with a pyramid of feature maps, see :class:`acsnet.layers.Encoder`; with
            DeepLabV3+ one whose convolutions can be dilated.
        decoder: ``"unet"``, ``"unetpp"``, ``"fpn"`` or ``"deeplabv3plus"``.
        encoder_weights: ``"imagenet"`` or a file of pretrained weights; None for random ones.
        decoder_channels: widths of the decoder, by default those of segmentation_models_pytorch: five for U-Net and
            U-Net++, coarsest level first; two for FPN (pyramid, then mask branch, a multiple of 32); one for
            DeepLabV3+.
        dropout: dropout rate of the classifier, at least 0 and below 1; None for that of the publication's code: 0.5
            with both tasks, 0 with classification alone.
        image_size: (height, width) of the images, only for an encoder that is built for one size; see
            :class:`acsnet.layers.Encoder`.
        contract: ``num_classes``, ``in_channels`` and ``tasks``; see :class:`~acsnet.models.MultiTaskModel`.

    Attributes:
        divisor: 32, or 16 with the decoder DeepLabV3+, whose encoder stops at stride 16.

    Raises:
        UnknownNameError: for an unknown encoder or decoder, with near matches.
        InputError: if the encoder has other feature levels, the decoder cannot have the widths, or the dropout rate is
            out of range.

    Example:
        >>> import torch
        >>> from acsnet.models import EncoderDecoder
        >>> model = EncoderDecoder("mobilenetv3_small_050", "deeplabv3plus", decoder_channels=[16]).eval()
        >>> output = model(torch.zeros(1, 3, 64, 48))
        >>> output.mask.shape, output.label.shape
        (torch.Size([1, 1, 64, 48]), torch.Size([1, 3]))
    """

    supports_mask_pooling = True

    def __init__(
        self,
        encoder: str = "resnet50.tv_in1k",
        decoder: str = "unet",
        encoder_weights: str | Path | None = None,
        decoder_channels: Sequence[int] | None = None,
        dropout: float | None = None,
        image_size: Sequence[int] | None = None,
        **contract: Unpack[Contract],
    ) -> None:
        super().__init__(**contract)
        kind = look_up("decoder", decoder, DECODERS, "")
        widths = _check_widths(decoder, kind, kind.widths if decoder_channels is None else decoder_channels)
        if not self.has_mask:
            features = PooledFeatures(encoder, self.in_channels, encoder_weights, image_size)
            self.encoder: nn.Module = features
            self.image_size = features.image_size
            self.cls_head: nn.Module = LinearHead(
                features.channels, self.num_classes, 0.0 if dropout is None else dropout
            )
            return
        self.divisor = kind.output_stride
        self.smallest_batch = kind.smallest_batch
        is_stem_first = is_efficientnet(encoder)
        pyramid = Encoder(
            encoder,
            self.in_channels,
            encoder_weights,
            kind.output_stride,
            maps="stem" if is_stem_first else "stages",
            dilate_first=is_stem_first or _LIBRARY_ENCODERS.fullmatch(architecture(encoder)) is not None,
            image_size=image_size,
        )
        self.encoder, self.image_size = pyramid, pyramid.image_size
        self.decoder = kind.build((self.in_channels, *pyramid.channels), widths)
        self.seg_head = _mask_head(kind, widths[-1])
        _initialize(self.decoder, self.seg_head)
        if self.has_label:
            rate = BOTH_TASKS_DROPOUT if dropout is None else dropout
            pool = self.class_pool(kind.output_stride)
            self.cls_head = PooledLinearHead(pyramid.channels[-1], self.num_classes, rate, pool=pool)

    def encode(self, images: torch.Tensor) -> Sequence[torch.Tensor]:
        """Compute the maps of the encoder, finest first; for classification alone only the deepest one."""
        if self.has_mask:
            return self.encoder(images)
        return [cast(PooledFeatures, self.encoder).deepest_maps(images)]

    def forward_tasks(self, images: torch.Tensor) -> MultiTaskOutput:
        """Map images (B, in_channels, H, W) to mask logits (B, 1, H, W) and class logits (B, K).

        Raises:
            InputError: for a single image in training if the decoder normalizes over the batch only.
        """
        if not self.has_mask:
            return MultiTaskOutput(None, self.cls_head(self.encoder(images)))
        if self.training and not is_traced(images):
            self._check_batch(images.shape[0])
        features = self.encoder(images)  # (B, C_i, H/2^(i+1), W/2^(i+1)), at least H/divisor, W/divisor
        # The decoders count the input as the level of stride 1.
        mask = self.seg_head(self.decoder([images, *features]))  # (B, 1, H, W)
        label = self.cls_head(features[-1], mask=mask) if self.has_label else None  # (B, K)
        return MultiTaskOutput(mask, label)

    def _check_batch(self, batch_size: int) -> None:
        if batch_size < self.smallest_batch:
            raise InputError(
                f"the batch size is {batch_size}: expected at least {self.smallest_batch} in training, since the "
                "decoder normalizes one value per image over the batch (in a configuration: training.batch_size)"
            )


def _check_widths(decoder: str, kind: DecoderKind, widths: Sequence[int]) -> tuple[int, ...]:
    # segmentation_models_pytorch slices the widths and adds tuples to them.
    values = tuple(widths) if isinstance(widths, Sequence) else ()
    are_counts = all(type(width) is int and width > 0 for width in values)
    if len(values) != len(kind.widths) or not are_counts or values[-1] % kind.multiple:
        last = f", the last a multiple of {kind.multiple}" if kind.multiple > 1 else ""
        raise InputError(
            f"decoder_channels is {widths!r}: the decoder {decoder!r} needs a list of {len(kind.widths)}, each a whole "
            f"number of at least 1{last}, for example {list(kind.widths)}"
        )
    return values


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
                arguments=_ARGUMENTS,
                defaults={"encoder": timm_name, "decoder": decoder},
                pretrained=True,
            )(EncoderDecoder)


_register_pairs()
