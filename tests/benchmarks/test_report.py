from dataclasses import replace
from pathlib import Path

import pytest

from acsnet.errors import InputError
from benchmarks import Measurement, Report, check_page, render_text, update_page

MACHINE = {"device": "cpu (A Processor)", "threads": 2, "torch": "2.15"}
OPERATOR = [
    Measurement("deform_conv", "8->8 @4", "conv2d", 0.001, 1.0, "conv2d"),
    Measurement("deform_conv", "8->8 @4", "acsnet", 0.0015, 1.5, "conv2d", 12.4),
    Measurement("deform_conv", "8->4 @4", "conv2d", 0.002, 1.0, "conv2d"),
    Measurement("deform_conv", "8->4 @4", "mmcv", 0.04, 20.0, "conv2d"),
]
TRAIN = [
    Measurement("train", "batch 8, 256x256", "acsnet", 2.5, 1.0, "acsnet", 2201.4),
    Measurement("train", "batch 8, 256x256", "its 1138 GFLOP", 2.25, None, None),
]
TASKS = [
    Measurement("tasks", "unet, batch 1, 448x448", "one network, both tasks", 0.2, 1.0, "one network, both tasks"),
    Measurement("tasks", "unet, batch 1, 448x448", "two networks side by side", 0.3, 1.5, "one network, both tasks"),
]
GROWTH = [
    Measurement("growth", "batch 1, 128x128", "acsnet", 0.1, None, None, 1000.0),
    Measurement("growth", "batch 1, 256x256", "acsnet", 0.4, None, None, 1200.0),
    Measurement("growth", "batch 2, 128x128", "acsnet", 0.2, None, None, 1200.0),
]
DATA = [
    Measurement("data", "256x256", "naive", 0.01, 1.0, "naive"),
    Measurement("data", "256x256", "acsnet", 0.0005, 0.05, "naive"),
]


AROUND = [
    Measurement("around", "acsnet crossval", "one worker", 30.0, 1.0, "one worker"),
    Measurement("around", "acsnet crossval", "two workers", 18.0, 0.6, "one worker"),
]


def test_commands() -> None:
    assert render_text(AROUND).splitlines() == [
        "Around the training step: whole commands, each in a new process",
        "command          contender    seconds  against the first",
        "acsnet crossval  one worker   30.0     1.00x",
        "acsnet crossval  two workers  18.0     0.60x",
    ]


def test_text() -> None:
    assert render_text([*TRAIN, *OPERATOR, *TASKS, *GROWTH, *DATA]).splitlines() == [
        "Modulated deformable 3x3 convolution, as multiples of a plain `conv2d` of the same shape",
        "case     conv2d, ms  acsnet       mmcv",
        "8->8 @4  1.0         1.5x, 12 MB  -",
        "8->4 @4  2.0         -            20.0x",
        "",
        "A training step",
        "batch 8, 256x256  seconds  against acsnet  peak memory, MB",
        "acsnet            2.500    1.00x           2201",
        "its 1138 GFLOP    2.250    -               -",
        "",
        "Inference of both tasks: one network, or two networks side by side (Chung et al. 2024)",
        "unet, batch 1, 448x448     ms per batch  against one network",
        "one network, both tasks    200.0         1.00x",
        "two networks side by side  300.0         1.50x",
        "",
        "The input pipeline, one process",
        "256x256  images per second  times as many",
        "naive    100                1.0x",
        "acsnet   2000               20.0x",
        "",
        "A training step of ACSNet against image and batch size",
        "case              seconds  peak memory, MB  exponent of the time in pixels, from the line before",
        "batch 1, 128x128  0.10     1000             -",
        "batch 1, 256x256  0.40     1200             1.00",
        "batch 2, 128x128  0.20     1200             -",
    ]


def test_results_are_saved_per_benchmark(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    Report(MACHINE, tuple(TRAIN)).write(path)
    Report(MACHINE, tuple(OPERATOR)).write(path)
    assert Report.read(path).rows == (*TRAIN, *OPERATOR)
    faster = [replace(row, seconds=1.0) for row in TRAIN]
    Report(MACHINE, tuple(faster)).write(path)
    assert Report.read(path) == Report(MACHINE, (*OPERATOR, *faster))


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"machine": {}, "rows": []}', '{"machine": {}, "rows": [{"x": 1}]}', "no json"]
)
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "figures.json"
    path.write_text(text)
    with pytest.raises(
        InputError, match=r"figures\.json has no measurements of python -m benchmarks \(.*\): pass another"
    ):
        Report.read(path)
    with pytest.raises(InputError, match=r"there is no file .*other\.json: create it by python -m benchmarks"):
        Report.read(tmp_path / "other.json")


def test_section(tmp_path: Path) -> None:
    path = tmp_path / "speed.md"
    path.write_text("# Title\n<!-- speed:begin -->\nold\n<!-- speed:end -->\nmore\n")
    report = Report(MACHINE, tuple(TRAIN))
    with pytest.raises(InputError, match=r"the speed section of .*speed\.md is stale: run python -m benchmarks"):
        check_page(path, report)
    update_page(path, report)
    check_page(path, report)
    assert path.read_text().splitlines() == [
        "# Title",
        "<!-- speed:begin -->",
        "Measured by `python -m benchmarks` on cpu (A Processor), 2 threads, torch 2.15, in turns (medians).",
        "",
        "**A training step**",
        "",
        "| batch 8, 256x256 | seconds | against acsnet | peak memory, MB |",
        "| --- | ---: | ---: | ---: |",
        "| acsnet | 2.500 | 1.00x | 2201 |",
        "| its 1138 GFLOP | 2.250 | - | - |",
        "<!-- speed:end -->",
        "more",
    ]


def test_section_of_two_machines(tmp_path: Path) -> None:
    path = tmp_path / "speed.md"
    path.write_text("<!-- speed:begin -->\n<!-- speed:end -->\n")
    update_page(path, Report(MACHINE, tuple(TRAIN)), Report(MACHINE | {"threads": 64}, tuple(TASKS)))
    lines = path.read_text().splitlines()
    first, second = (i for i, line in enumerate(lines) if line.startswith("Measured by"))
    assert "2 threads" in lines[first]
    assert "64 threads" in lines[second]
    assert lines[second + 1 :] == [
        "",
        "**Inference of both tasks: one network, or two networks side by side (Chung et al. 2024)**",
        "",
        "| unet, batch 1, 448x448 | ms per batch | against one network |",
        "| --- | ---: | ---: |",
        "| one network, both tasks | 200.0 | 1.00x |",
        "| two networks side by side | 300.0 | 1.50x |",
        "<!-- speed:end -->",
    ]


def test_results_of_two_machines_are_not_mixed(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    Report(MACHINE, tuple(TRAIN)).write(path)
    other = Report(MACHINE | {"threads": 64}, tuple(OPERATOR))
    message = (
        r"figures\.json has measurements of cpu \(A Processor\), 2 threads, .*, but this is .*, 64 threads.*: pass"
    )
    for function in (other.check_file, other.write):
        with pytest.raises(InputError, match=message):
            function(path)
    assert Report.read(path).rows == tuple(TRAIN)
