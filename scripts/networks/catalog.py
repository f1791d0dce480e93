"""The networks that have a diagram, stage by stage."""

from collections.abc import Callable, Iterator, Sequence

from scripts.networks.stages import Network, Stage

_IMAGE = "normalized image"
_ENCODER_MAPS = 5


def _image(column: float = 0, level: float = 0) -> Stage:
    return Stage("image", _IMAGE, "", column, level, kind="image")


def _timm_encoder(what: str, module: str = "encoder") -> Iterator[Stage]:
    """Yield the five maps of an encoder at strides 2 to 32."""
    yield _image()
    for level in range(_ENCODER_MAPS):
        before = f"E{level - 1}" if level else "image"
        text = f"{what}, map at stride {2 ** (level + 1)}"
        yield Stage(f"E{level}", text, module, 0, level + 1, [before], "encoder", level)


def _pooled_encoder(module: str, what: str, title: str = "E{}", step: float = 0) -> Iterator[Stage]:
    """Yield the levels of an encoder that starts at full size and halves it by max pooling."""
    yield _image(-1)
    for level in range(_ENCODER_MAPS):
        before = title.format(level - 1) if level else "image"
        text = what if level == 0 else f"max pooling, {what}"
        yield Stage(title.format(level), text, f"{module}.{level}", step * level, level, [before], "encoder")


def _nested(module: Callable[[int, int], str], what: str, top: int = 0, encoder: str = "X{}0") -> Iterator[Stage]:
    """Yield the nodes X(i,j) with j above 0, of level i, each with all nodes of its level before it."""
    for j in range(1, _ENCODER_MAPS):
        for i in range(_ENCODER_MAPS - j):
            below = encoder.format(i + 1) if j == 1 else f"X{i + 1}{j - 1}"
            inputs = [below, encoder.format(i), *(f"X{i}{k}" for k in range(1, j))]
            yield Stage(f"X{i}{j}", what, module(i, j), i / 2 + j, top + i, inputs)


def _class(what: str, inputs: Sequence[str], column: float, level: float, module: str = "cls_head") -> Stage:
    return Stage("class", what, module, column, level, inputs, "class")


def _acsnet() -> Network:
    gates = [Stage(f"G{i}", "gate unit", f"gates.{i}", 1.2, i + 1, [f"E{i}"], "extra") for i in range(_ENCODER_MAPS)]
    join = "1x1 convolution, upsampling, concatenation with {}"
    double = "two 3x3 convolutions"
    decoder = [
        Stage(
            "D3",
            f"{join.format('G3')}, {double}, deformable spatial attention",
            "decode3",
            2.4,
            4,
            ["G4", "G3"],
            also=["join3"],
        ),
        Stage(
            "D2",
            f"{join.format('G2')}, {double}, deformable spatial attention",
            "decode2",
            2.4,
            3,
            ["D3", "G2"],
            also=["join2"],
        ),
        Stage("D1", f"{join.format('G1')}, {double}", "decode1", 2.4, 2, ["D2", "G1"], also=["join1"]),
        Stage("D0", f"{join.format('G0')}, 1x1 and 3x3 convolution", "decode0", 2.4, 1, ["D1", "G0"], also=["join0"]),
    ]
    return Network(
        "acsnet",
        "ACSNet",
        "acsnet",
        256,
        3,
        [
            *_timm_encoder("ResNet-18"),
            *gates,
            *decoder,
            Stage("mask", "upsampling, 3x3 convolution, 1x1 convolution", "seg_head", 2.4, 0, ["D0"], "mask"),
            _class("channel attention of three maps, global average, two linear layers", ["E3", "E4", "D3"], 3.6, 5),
        ],
    )


def _pair_unet() -> Network:
    blocks = [
        Stage(
            f"D{level}",
            "enlarging" + (f", concatenation with E{level - 1}" if level else "") + ", two 3x3 convolutions",
            f"decoder.blocks.{4 - level}",
            1.5,
            level,
            [*([f"E{level - 1}"] if level else []), f"D{level + 1}" if level < 4 else "E4"],
        )
        for level in range(4, -1, -1)
    ]
    return _pair("unet", "U-Net", [*blocks, _pair_mask(["D0"], 2.7)], 2.7)


def _pair_unetpp() -> Network:
    # The names of segmentation_models_pytorch count from the deepest level.
    nodes = _nested(
        lambda i, j: f"decoder.blocks.x_{4 - i - j}_{3 - i}", "enlarging, concatenation, two 3x3 convolutions", 1, "E{}"
    )
    last = Stage("D", "enlarging, two 3x3 convolutions", "decoder.blocks.x_0_4", 4, 0, ["X04"])
    encoder = [_place(stage, stage.level / 2 - 0.5) for stage in _timm_encoder("ResNet-50")]
    return _pair("unetpp", "U-Net++", [*nodes, last, _pair_mask(["D"], 5.2)], 4, encoder)


def _pair_fpn() -> Network:
    pyramid = [
        Stage(
            f"P{i}",
            "1x1 convolution" + ("" if i == 4 else f", sum with P{i + 1}, enlarged"),
            f"decoder.p{i + 1}",
            1.2,
            i + 1,
            [f"E{i}", *([] if i == 4 else [f"P{i + 1}"])],
            "extra",
        )
        for i in range(4, 0, -1)
    ]
    branches = [
        Stage(
            f"S{i}", "3x3 convolutions and enlarging to stride 4", f"decoder.seg_blocks.{4 - i}", 2.4, i + 1, [f"P{i}"]
        )
        for i in range(4, 0, -1)
    ]
    merge = Stage("sum", "sum of the branches", "decoder.merge", 3.6, 2, ["S4", "S3", "S2", "S1"])
    mask = _pair_mask(["sum"], 3.6, "1x1 convolution, enlarging by 4")
    return _pair("fpn", "FPN", [*pyramid, *branches, merge, mask], 3.6)


def _pair_deeplab() -> Network:
    stages = [
        Stage("A", "atrous spatial pyramid pooling: rates 12, 24, 36", "decoder.aspp", 1.5, 5, ["E4"], "extra"),
        Stage("S", "1x1 convolution", "decoder.block1", 1.5, 2, ["E1"], "extra"),
        Stage(
            "D",
            "concatenation of S and A, enlarged by 4; separable 3x3 convolution",
            "decoder.block2",
            2.7,
            2,
            ["A", "S"],
        ),
        _pair_mask(["D"], 2.7, "1x1 convolution, enlarging by 4"),
    ]
    return _pair("deeplabv3plus", "DeepLabV3+", stages, 2.7)


def _pair_mask(inputs: Sequence[str], column: float, what: str = "3x3 convolution") -> Stage:
    return Stage("mask", what, "seg_head", column, 0, inputs, "mask")


def _pair(key: str, title: str, stages: Sequence[Stage], column: float, encoder: Sequence[Stage] = ()) -> Network:
    head = _class("global average, dropout 0.5, linear layer", ["E4"], column, 5)
    first = encoder or [*_timm_encoder("ResNet-50")]
    return Network(f"pair_{key}", f"{title} on ResNet-50", f"{key}_resnet50", 448, 3, [*first, *stages, head])


def _place(stage: Stage, column: float) -> Stage:
    return Stage(**{**vars(stage), "column": column})


def _two_networks() -> Network:
    return Network(
        "two_networks",
        "Two networks side by side",
        "two_networks",
        448,
        3,
        [
            _image(0, 0.5),
            Stage(
                "E",
                "encoder of the first network, deepest map",
                "segmentation.encoder",
                1.3,
                0,
                ["image"],
                "encoder",
                4,
            ),
            Stage("D", "decoder of the first network", "segmentation.decoder", 2.6, 0, ["E"]),
            Stage("mask", "3x3 convolution", "segmentation.seg_head", 3.9, 0, ["D"], "mask"),
            Stage(
                "F",
                "encoder of the second network, global average",
                "classification.encoder",
                1.3,
                1,
                ["image"],
                "encoder",
            ),
            _class("linear layer", ["F"], 3.9, 1, "classification.cls_head"),
        ],
    )


def _mt_nnunet() -> Network:
    decoder = [
        Stage(
            f"D{level}",
            f"transposed convolution, concatenation with E{level}, two 3x3 convolutions",
            f"decode{level}",
            1.5,
            level,
            ["B" if level == 4 else f"D{level + 1}", f"E{level}"],
        )
        for level in range(4, -1, -1)
    ]
    return Network(
        "mt_nnunet",
        "MT nnU-Net",
        "mt_nnunet",
        128,
        1,
        [
            *_pooled_encoder("encoder.levels", "two 3x3 convolutions"),
            Stage("B", "bottleneck: max pooling, two 3x3 convolutions", "bottleneck", 0.75, 5, ["E4"], "encoder"),
            *decoder,
            Stage(
                "mask",
                "1x1 convolution; in training three more masks from D1, D2 and D3",
                "seg_head",
                2.7,
                0,
                ["D0"],
                "mask",
                also=["aux_heads"],
            ),
            _class(
                "E4 and D4 by a convolution, B enlarged; concatenation, 3x3 convolution, average, two linear layers",
                ["E4", "B", "D4"],
                2.7,
                4.5,
            ),
        ],
    )


def _mt_unetpp() -> Network:
    what = "transposed convolution, concatenation, two 3x3 convolutions"
    return Network(
        "mt_unetpp",
        "MT U-Net++",
        "mt_unetpp",
        128,
        1,
        [
            *_pooled_encoder("encoder", "two 3x3 convolutions", "X{}0", 0.5),
            *_nested(lambda i, j: f"nodes.{i}_{j}", what),
            Stage(
                "mask",
                "1x1 convolution of X04; in training three more masks from X01, X02 and X03",
                "seg_head",
                5.2,
                0,
                ["X04"],
                "mask",
                also=["aux_heads"],
            ),
            _class(
                "X30 and X31 by one shared block, X40; concatenation, two 3x3 convolutions, average, two linear layers",
                ["X30", "X31", "X40"],
                4,
                4,
            ),
        ],
    )


def _study_unet(key: str, title: str, is_gated: bool) -> Network:
    gates = [Stage(f"G{i}", "gate", f"skips.{i}", 1.2, i, [f"E{i}"], "extra") for i in range(4)] if is_gated else []
    skip, column = ("G", 2.4) if is_gated else ("E", 1.5)
    blocks = (1, 2, 3, 3)
    decoder = [
        Stage(
            f"D{level}",
            f"enlarging, concatenation with {skip}{level}, {_blocks(blocks[level])}",
            f"decoder.{level}",
            column,
            level,
            ["E4" if level == 3 else f"D{level + 1}", f"{skip}{level}"],
        )
        for level in range(3, -1, -1)
    ]
    encoder = [*_pooled_encoder("encoder.levels", "blocks")]
    return Network(
        key,
        title,
        key,
        256,
        1,
        [
            *encoder,
            *gates,
            *decoder,
            Stage("mask", "3x3 convolution", "seg_head", column + 1.2, 0, ["D0"], "mask"),
            _class("global averages of three maps, two linear layers", ["E3", "E4", "D3"], column + 1.2, 4),
        ],
    )


def _blocks(count: int) -> str:
    return "one block" if count == 1 else f"{('two', 'three')[count - 2]} blocks"


def _unetpp() -> Network:
    return Network(
        "unetpp",
        "U-Net++",
        "unetpp",
        256,
        1,
        [
            *_pooled_encoder("encoder.levels", "blocks", "X{}0", 0.5),
            *_nested(lambda i, j: f"decoder.nodes.{i}_{j}", "enlarging, concatenation, blocks"),
            Stage(
                "mask",
                "sum of the 3x3 convolutions of X01, X02, X03 and X04",
                "seg_head.4",
                5.2,
                0,
                ["X04"],
                "mask",
                also=["seg_head.1", "seg_head.2", "seg_head.3"],
            ),
            _class("global averages of three maps, two linear layers", ["X30", "X31", "X40"], 4, 4),
        ],
    )


def _efficientnet_cbam() -> Network:
    decoder = [
        Stage(
            f"D{i}",
            f"enlarging, concatenation with the attended E{3 - i}, two residual blocks",
            f"decoder.{i}",
            2.4,
            4 - i,
            ["B" if i == 0 else f"D{i - 1}", f"E{3 - i}"],
        )
        for i in range(4)
    ]
    return Network(
        "efficientnet_cbam",
        "EfficientNet-CBAM",
        "efficientnet_cbam",
        256,
        3,
        [
            *_timm_encoder("EfficientNet-B4"),
            Stage("P", "pyramid pooling: 1, 2, 3 and 6 cells per side", "context", 1.2, 5, ["E4"], "extra"),
            Stage("B", "two residual blocks with attention", "bottleneck", 2.4, 5, ["P"]),
            *decoder,
            Stage("mask", "enlarging, 3x3 convolution", "seg_head", 2.4, 0, ["D3"], "mask"),
            _class("global averages of four maps, four linear layers", ["B", "D0", "D1", "D2"], 3.6, 4),
        ],
    )


#: The networks by the name of their files.
NETWORKS = {
    network.key: network
    for network in (
        _acsnet(),
        _pair_unet(),
        _pair_unetpp(),
        _pair_fpn(),
        _pair_deeplab(),
        _two_networks(),
        _mt_nnunet(),
        _mt_unetpp(),
        _study_unet("unet", "U-Net", is_gated=False),
        _study_unet("gated_unet", "Gated U-Net", is_gated=True),
        _unetpp(),
        _efficientnet_cbam(),
    )
}
