"""Each benchmark at a size that takes no time: who is compared, and that all compute the same thing."""

from pathlib import Path

import numpy as np
import pytest
import torch

from acsnet.config import TransformConfig
from acsnet.data import read_busi
from acsnet.evaluation import evaluate
from acsnet.models import create_model
from benchmarks import (
    benchmark_files,
    benchmark_growth,
    benchmark_operator,
    benchmark_pipeline,
    files,
    networks,
    operator,
)
from benchmarks.networks import Case, benchmark_inference, benchmark_tasks, benchmark_training, task_cases
from benchmarks.operator import Shape

CPU = torch.device("cpu")
TINY = {"encoder": "mobilenetv3_small_050", "widths": [16] * 5}
CASES = [
    Case("acsnet", "acsnet", TINY, batch=2, size=64),
    Case("peer", "acsnet", TINY | {"backend": "torchvision"}, is_ours=False, batch=2, size=64),
]


def test_operator() -> None:
    rows = benchmark_operator(CPU, 1, (Shape(4, 6, 5),))
    assert {row.contender for row in rows} >= {"conv2d", "acsnet", "torchvision"}
    assert [row.case for row in rows if row.contender == "conv2d"] == [
        f"4->6 @5, batch {batch}, {dtype}, {passes}"
        for dtype in ("float32", "bfloat16")
        for batch in (1, 8)
        for passes in ("forward", "forward + backward")
    ]
    assert all(row.ratio is not None and row.ratio > 0 and row.reference == "conv2d" for row in rows)


def test_the_operators_that_are_compared_agree() -> None:
    arguments = operator._Arguments.draw(Shape(4, 6, 5), 2, CPU)
    results = {name: function(arguments) for name, function in operator._contenders(CPU, torch.float32)}
    torch.testing.assert_close(results["acsnet"], results["torchvision"], rtol=1e-4, atol=1e-5)
    assert results["conv2d"].shape == results["acsnet"].shape
    gradients = operator._runner(operator._deform("auto"), arguments, torch.float32, True)()
    assert [gradient.shape for gradient in gradients] == [tensor.shape for tensor in arguments[:4]]


def test_training() -> None:
    *rows, floor = benchmark_training(CPU, 1, CASES)
    assert [(row.case, row.contender, row.reference) for row in rows] == [
        ("batch 2, 64x64", "acsnet", "acsnet"),
        ("batch 2, 64x64", "peer", "acsnet"),
    ]
    assert all(row.memory_mb is not None and row.memory_mb > 100 for row in rows)
    assert floor.contender.startswith("its ")
    assert floor.seconds < rows[0].seconds


def test_a_training_step_changes_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    network = create_model("acsnet", **TINY)
    monkeypatch.setattr(networks, "create_model", lambda *_, **__: network)
    before = {key: value.clone() for key, value in network.named_parameters()}
    networks.training_step(CASES[0])()
    changed = [key for key, value in network.named_parameters() if not torch.equal(value, before[key])]
    assert len(changed) > 0.9 * len(before)


def test_inference() -> None:
    *rows, _ = benchmark_inference(CPU, 1, CASES)
    assert [row.contender for row in rows] == ["acsnet", "peer"]
    ours, theirs = (networks.inference(case)() for case in CASES)
    assert (ours.mask.sigmoid() - theirs.mask.sigmoid()).abs().max() < 0.03


def test_both_tasks_by_one_network_and_by_two() -> None:
    cases = task_cases(CPU, batch=2, size=64, encoder="mobilenetv3_small_050", decoder_channels=[16] * 5)
    rows = benchmark_tasks(CPU, 1, cases)
    assert [(row.contender, row.case, row.reference) for row in rows] == [
        (name, "unet_resnet50, batch 2, 64x64", "one network, both tasks")
        for name in (
            "one network, both tasks",
            "segmentation alone",
            "classification alone",
            "two networks side by side",
        )
    ]
    assert all(row.seconds > 0 and row.ratio is not None for row in rows)
    both, segmentation, classification, two = (networks.inference(case)() for case in cases)
    assert segmentation.label is None
    assert classification.mask is None
    assert both.mask.shape == segmentation.mask.shape == two.mask.shape == (2, 1, 64, 64)
    assert both.label.shape == classification.label.shape == two.label.shape == (2, 3)


def test_both_tasks_are_measured_as_published() -> None:
    cases = task_cases(CPU)
    assert {(case.batch, case.size, case.is_ours) for case in cases} == {(1, 448, True)}
    assert [case.model for case in cases] == ["unet_resnet50"] * 3 + ["two_networks"]
    assert cases[-1].arguments["network"] == "unet_resnet50"


def test_published_networks_run_in_plain_order() -> None:
    layers = [type(module) for module in networks._build(CASES[1]).seg_head[0]]
    assert layers == [torch.nn.UpsamplingBilinear2d, torch.nn.Conv2d]


def test_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "in_fresh_process", lambda function, case, rounds: (float(case.size), 7.0))
    first, second = benchmark_growth(CPU, 1, ((1, 64), (2, 128)))
    assert (first.case, first.seconds, first.memory_mb) == ("batch 1, 64x64", 64.0, 7.0)
    assert (second.case, second.seconds) == ("batch 2, 128x128", 128.0)


def test_files() -> None:
    rows = benchmark_files(CPU, 1, count=1, size=(64, 64))
    assert [(row.case.partition(",")[0], row.contender) for row in rows] == [
        ("acsnet predict", "plain loop"), ("acsnet predict", "acsnet"),
        ("acsnet test", "plain loop"), ("acsnet test", "acsnet"),
    ]  # fmt: skip
    assert all(row.seconds > 0 for row in rows)


@pytest.mark.parametrize("size", [(64, 64), (80, 64), (64, 96)])
def test_the_network_finds_one_lesion_as_a_trained_one_does(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    assert len(files._build_predictor(CPU)(image).lesions) == 1


def test_the_plain_loop_computes_what_a_test_does(phantom_root: Path) -> None:
    predictor = files._build_predictor(CPU)
    records = read_busi(phantom_root)[:2]
    evaluation = evaluate(predictor, records, progress=False)
    for record, case in zip(records, evaluation.cases, strict=True):
        dice, hd95 = files._test(predictor, record)
        assert dice == pytest.approx(case["dice"], abs=0.01)
        assert hd95 == pytest.approx(case["hd95"], rel=0.1)


def test_pipeline(phantom_root: Path) -> None:
    rows = benchmark_pipeline(phantom_root, [TransformConfig(name="HorizontalFlip")], 1)
    naive, ours, augmentation = rows
    assert naive.contender == "open, decode, resize, augment"
    assert naive.seconds > ours.seconds > 0
    assert augmentation.reference == naive.contender
