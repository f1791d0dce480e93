import errno
import json
import os
import re
import runpy
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import acsnet
from acsnet._utils.download import file_sha256
from acsnet._utils.files import WriteError, write_png
from acsnet.checkpoints import Checkpoint, read_metadata, read_weights, save_checkpoint
from acsnet.errors import AcsnetError, CheckpointError, DataError, InputError, MissingPackageError, UnknownNameError
from acsnet.export import default_export, export_checkpoint, formats, onnx_operators, pipeline
from acsnet.export.network import use_backend
from acsnet.export.samples import Samples
from acsnet.models import _registry
from acsnet.ops import DeformConv2d, DeformConv2dPack, ModulatedDeformConv2dPack
from acsnet.phantom import make_phantom

REPOSITORY = Path(__file__).resolve().parents[2]
SaveTiny = Callable[..., Path]
Invoke = Callable[..., tuple[int, str, str]]
# A script for a process in which some packages cannot be imported.
WITHOUT = "import sys\nfor name in {names!r}:\n    sys.modules[name] = None\n{code}\n"


def run_onnx(path: Path, images: torch.Tensor, names: Sequence[str] = ("mask", "classes")) -> list[torch.Tensor]:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == list(names)
    return [torch.from_numpy(value) for value in session.run(None, {"images": images.numpy()})]


def run_torch(path: Path, images: torch.Tensor, names: Sequence[str] = ("mask", "classes")) -> list[torch.Tensor]:
    found = torch.export.load(path).module()(images)
    assert list(found) == list(names)
    return list(found.values())


def images(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def needs(format: str) -> None:
    if format == "onnx":
        for name in ("onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(name)


RUN = {"onnx": run_onnx, "torch": run_torch}
every_format = pytest.mark.parametrize("format", list(RUN))


@every_format
def test_file_gives_the_network_s_probabilities_at_any_batch_and_size(save_tiny: SaveTiny, format: str) -> None:
    needs(format)
    checkpoint = save_tiny()
    result = export_checkpoint(checkpoint, format)
    assert result.path == checkpoint.with_suffix(formats.find_format(format).suffix), "next to it, with its name"
    assert sorted(path.name for path in checkpoint.parent.iterdir()) == sorted([checkpoint.name, result.path.name])
    assert result.dynamic == ("batch", "height", "width")
    assert result.largest_difference <= pipeline.TOLERANCE
    assert result.shapes == ((1, 3, 32, 48), (6, 3, 32, 48), (1, 3, 36, 56), (6, 3, 36, 56))

    network = acsnet.load_model(checkpoint)
    for batch in (images(1, 3, 32, 48), images(3, 3, 64, 40)):
        with torch.inference_mode():
            expected = network(batch)
        mask, classes = RUN[format](result.path, batch)
        torch.testing.assert_close(mask, expected.mask.sigmoid(), rtol=0, atol=1e-5)
        torch.testing.assert_close(classes, expected.label.softmax(1), rtol=0, atol=1e-5)


def test_onnx_file_holds_what_its_users_need_and_no_folder_of_this_machine(save_tiny: SaveTiny) -> None:
    needs("onnx")
    import onnx

    checkpoint = save_tiny()
    model = onnx.load(export_checkpoint(checkpoint, "onnx").path, load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert {opset.domain: opset.version for opset in model.opset_import} == {"": 18}, "ONNX's own operators alone"
    assert [dimension.dim_param for dimension in model.graph.input[0].type.tensor_type.shape.dim] == [
        "batch",
        "",
        "height",
        "width",
    ]
    assert_describes({one.key: one.value for one in model.metadata_props}["acsnet"], checkpoint)
    assert str(REPOSITORY).encode() not in model.SerializeToString()


def test_torch_file_holds_the_same_and_loads_without_this_package(save_tiny: SaveTiny) -> None:
    checkpoint = save_tiny()
    path = export_checkpoint(checkpoint, "torch").path
    extra = {"acsnet.json": ""}
    torch.export.load(path, extra_files=extra)
    assert_describes(extra["acsnet.json"], checkpoint)
    with zipfile.ZipFile(path) as archive:
        assert not [name for name in archive.namelist() if str(REPOSITORY).encode() in archive.read(name)]

    code = f"import torch\nprint(*torch.export.load({str(path)!r}).module()(torch.zeros(2, 3, 32, 48)))"
    assert run_without(("acsnet", "timm", "torchvision"), code) == "mask classes"


def assert_describes(text: str | bytes, checkpoint: Path) -> None:
    assert json.loads(text) == {
        "format": 1,
        "model": "unet",
        "members": 1,
        "class_names": ["benign", "malignant", "normal"],
        "input_size": [32, 48],
        "crop_margins": False,
        "keep_aspect": False,
        "channels": 3,
        "mean": [0.3],
        "std": [0.2],
        "threshold": 0.4,
        "code_version": acsnet.__version__,
        "checkpoint_sha256": file_sha256(checkpoint),
        "divisor": 4,
        "dynamic": ["batch", "height", "width"],
    }


def run_without(names: Sequence[str], code: str) -> str:
    """Run code in a process in which importing these packages fails, and return its output."""
    script = WITHOUT.format(names=names, code=code)
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@every_format
@pytest.mark.parametrize(("task", "name"), [("segmentation", "mask"), ("classification", "classes")])
def test_one_task_is_one_output(save_tiny: SaveTiny, format: str, task: str, name: str) -> None:
    needs(format)
    checkpoint = save_tiny(width=4, depth=2, tasks=[task], in_channels=1)
    result = export_checkpoint(checkpoint, format)
    assert result.outputs == (name,)
    batch = images(2, 1, 32, 48)
    with torch.inference_mode():
        mask, label, _ = acsnet.load_model(checkpoint)(batch)
    (found,) = RUN[format](result.path, batch, (name,))
    torch.testing.assert_close(found, mask.sigmoid() if name == "mask" else label.softmax(1), rtol=0, atol=1e-5)


@every_format
def test_ensemble_averages_its_members_probabilities(save_tiny: SaveTiny, format: str) -> None:
    needs(format)
    checkpoint = save_tiny(members=2)
    batch = images(2, 3, 32, 48)
    mask, classes = RUN[format](export_checkpoint(checkpoint, format).path, batch)
    with torch.inference_mode():
        outputs = [member(batch) for member in acsnet.load_model(checkpoint).members]
    expected = torch.stack([output.mask.sigmoid() for output in outputs]).mean(0)
    torch.testing.assert_close(mask, expected, rtol=0, atol=1e-5)
    expected = torch.stack([output.label.softmax(1) for output in outputs]).mean(0)
    torch.testing.assert_close(classes, expected, rtol=0, atol=1e-5)


class Positions(acsnet.MultiTaskModel):
    """Adds a map of fixed size to the image, like networks with learned position embeddings."""

    divisor = 4

    def __init__(self, num_classes: int, in_channels: int, tasks: Sequence[str]) -> None:
        super().__init__(num_classes, in_channels, tasks)
        self.positions = torch.nn.Parameter(torch.randn(1, in_channels, 32, 48))
        self.label = torch.nn.Linear(in_channels, num_classes)

    def forward_tasks(self, images: torch.Tensor) -> acsnet.MultiTaskOutput:
        maps = images + self.positions
        return acsnet.MultiTaskOutput(maps.mean(dim=1, keepdim=True), self.label(maps.mean(dim=(2, 3))))


@every_format
def test_network_of_fixed_size_is_exported_with_it(
    save_tiny: SaveTiny, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    needs(format)
    monkeypatch.setattr(_registry, "_ENTRIES", dict(_registry._ENTRIES))
    acsnet.register_model("positions", publication="none", adds="positions")(Positions)
    result = export_checkpoint(save_tiny("positions", in_channels=3), format)
    assert result.dynamic == ("batch",)
    assert len(result.refusals) == 1
    assert result.shapes == ((1, 3, 32, 48), (6, 3, 32, 48))
    assert "dynamic: batch\n" in result.summary()
    assert f"fixed: height, width, since {result.refusals[0]}" in result.summary()
    mask, _ = RUN[format](result.path, images(5, 3, 32, 48))
    assert mask.shape == (5, 1, 32, 48)


@pytest.mark.parametrize("wrong", [2e-4, float("nan")])
def test_file_that_differs_from_the_network_is_removed(
    save_tiny: SaveTiny, monkeypatch: pytest.MonkeyPatch, wrong: float
) -> None:
    kind = formats.find_format("torch")

    def load(path: Path, outputs: Sequence[str]) -> formats.Run:
        run = kind.load(path, outputs)
        return lambda images: {name: value + wrong * (name == "classes") for name, value in run(images).items()}

    monkeypatch.setattr(pipeline, "find_format", lambda _name: replace(kind, load=load))
    monkeypatch.setattr(pipeline, "_DYNAMIC_CHOICES", ((),))
    checkpoint = save_tiny()
    text = rf"cannot be exported as torch, not even with a fixed size: a probability differs by {wrong:.1e} from the"
    with pytest.raises(CheckpointError, match=text):
        export_checkpoint(checkpoint, "torch")
    assert list(checkpoint.parent.iterdir()) == [checkpoint], "nothing else is left behind"


def test_file_that_does_not_run_is_removed(save_tiny: SaveTiny, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(path: Path, outputs: Sequence[str]) -> formats.Run:
        raise RuntimeError("broken\nand more")

    monkeypatch.setattr(pipeline, "find_format", lambda _name: replace(formats.find_format("torch"), load=load))
    monkeypatch.setattr(pipeline, "_DYNAMIC_CHOICES", ((),))
    checkpoint = save_tiny()
    with pytest.raises(CheckpointError, match=r"not even with a fixed size: RuntimeError: broken$"):
        export_checkpoint(checkpoint, "torch")
    assert list(checkpoint.parent.iterdir()) == [checkpoint]


def test_compared_on_the_first_eight_images_given(save_tiny: SaveTiny, phantom_root: Path) -> None:
    result = export_checkpoint(save_tiny(), "torch", images=[phantom_root / "normal", phantom_root / "benign"])
    assert result.samples == "8 of 24 images given"
    assert result.shapes[1] == (8, 3, 32, 48)
    assert "(8 of 24 images given; 1x3x32x48, 8x3x32x48, 1x3x36x56, 8x3x36x56)" in result.summary()


def test_omitted_steps_are_logged(save_tiny: SaveTiny, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING"):
        checkpoint = save_tiny()
        export_checkpoint(checkpoint, "torch", checkpoint.with_name("plain.pt2"))
        assert not caplog.messages
        checkpoint = save_tiny(evaluation={"test_time_augmentation": {"horizontal_flip": True}})
        export_checkpoint(checkpoint, "torch")
    assert "test-time augmentation, post-processing and refining are not part of the network" in caplog.text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"crop_margins": True}, "cropped to the scanned region"),
        ({"keep_aspect": True}, "padded to the input size"),
        (
            {"crop_margins": True, "keep_aspect": True},
            "cropped to the scanned region and padded to the input size",
        ),
    ],
)
def test_the_framing_is_described_and_used_for_the_samples(
    save_tiny: SaveTiny, caplog: pytest.LogCaptureFixture, changes: dict[str, bool], said: str
) -> None:
    plain = save_tiny()
    metadata = read_metadata(plain).model_copy(update=changes)
    checkpoint = plain.with_name("framed.safetensors")
    save_checkpoint(checkpoint, read_weights(plain), metadata)
    with caplog.at_level("WARNING"):
        path = export_checkpoint(checkpoint, "torch").path
    assert f"images have to be {said} before they are passed to the exported file" in caplog.text
    extra = {"acsnet.json": ""}
    torch.export.load(path, extra_files=extra)
    described = json.loads(extra["acsnet.json"])
    assert {key: described[key] for key in ("crop_margins", "keep_aspect")} == {
        "crop_margins": False,
        "keep_aspect": False,
    } | changes
    image = np.pad(np.full((60, 60, 3), 90, np.uint8), ((0, 0), (0, 60), (0, 0)))
    image[::2, :60:2] = 180
    framed, stretched = (Samples([image], own, "").batches((), 4)[0] for own in (metadata, read_metadata(plain)))
    assert not torch.equal(framed, stretched)


@pytest.mark.parametrize("backend", ["torch", "auto"])
def test_backend_whatever_the_checkpoint_names(backend: str) -> None:
    network = torch.nn.Sequential(ModulatedDeformConv2dPack(1, 1, 3, backend="torchvision"), torch.nn.Identity())
    use_backend(network, backend)
    assert network[0].backend == backend


class Deformed(acsnet.MultiTaskModel):
    """Two deformable convolutions, one of them modulated, with groups, offset groups and a stride."""

    divisor = 4

    def __init__(self, num_classes: int, in_channels: int, tasks: Sequence[str]) -> None:
        super().__init__(num_classes, in_channels, tasks)
        grouped = {"groups": 2, "deform_groups": 4, "bias": True}
        self.layers = torch.nn.Sequential(
            ModulatedDeformConv2dPack(in_channels, 8, 3, padding=1, backend="torchvision"),
            DeformConv2dPack(8, 8, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), **grouped),
        )
        for layer in self.layers:
            for predictor in layer.children():
                torch.nn.init.normal_(predictor.weight, std=0.3)
        self.label = torch.nn.Linear(8, num_classes)

    def forward_tasks(self, images: torch.Tensor) -> acsnet.MultiTaskOutput:
        maps = self.layers(images)
        mask = torch.nn.functional.interpolate(maps[:, :1], size=images.shape[2:])
        return acsnet.MultiTaskOutput(mask, self.label(maps.mean(dim=(2, 3))))


# Without the operator, the export of two layers takes 10 s.
@pytest.mark.parametrize("has_operator", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_deformable_convolutions_are_one_operator_where_the_runtime_has_it(
    save_tiny: SaveTiny, monkeypatch: pytest.MonkeyPatch, has_operator: bool
) -> None:
    needs("onnx")
    import onnx

    if has_operator and not onnx_operators.runs_deform_conv():
        pytest.skip("the installed ONNX Runtime has no DeformConv")
    monkeypatch.setattr(onnx_operators, "runs_deform_conv", lambda: has_operator)
    monkeypatch.setattr(_registry, "_ENTRIES", dict(_registry._ENTRIES))
    acsnet.register_model("deformed", publication="none", adds="deformable convolutions")(Deformed)
    checkpoint = save_tiny("deformed", in_channels=3)
    result = export_checkpoint(checkpoint, "onnx")
    assert result.dynamic == ("batch", "height", "width"), result.refusals
    assert result.largest_difference < 1e-5
    model = onnx.load(result.path)
    onnx.checker.check_model(model, full_check=True)
    assert {opset.domain: opset.version for opset in model.opset_import} == {"": 20 if has_operator else 18}
    assert [node.op_type for node in model.graph.node].count("DeformConv") == 2 * has_operator
    sizes = [dimension.dim_param for dimension in model.graph.input[0].type.tensor_type.shape.dim]
    assert sizes == ["batch", "", "height", "width"]
    assert str(REPOSITORY).encode() not in model.SerializeToString()
    for batch in (images(1, 3, 32, 48), images(3, 3, 64, 40)):
        with torch.inference_mode():
            expected = acsnet.load_model(checkpoint)(batch)
        mask, classes = run_onnx(result.path, batch)
        torch.testing.assert_close(mask, expected.mask.sigmoid(), rtol=0, atol=1e-5)
        torch.testing.assert_close(classes, expected.label.softmax(1), rtol=0, atol=1e-5)


@pytest.mark.parametrize("runs", [True, False])
def test_the_operator_is_used_only_by_networks_that_have_it(monkeypatch: pytest.MonkeyPatch, runs: bool) -> None:
    monkeypatch.setattr(onnx_operators, "runs_deform_conv", lambda: runs)
    assert not onnx_operators.has_deform_conv(torch.nn.Conv2d(1, 1, 3))
    for layer in (DeformConv2d(1, 1, 3), DeformConv2dPack(1, 1, 3), ModulatedDeformConv2dPack(1, 1, 3)):
        assert onnx_operators.has_deform_conv(torch.nn.Sequential(layer)) == runs


def test_a_runtime_without_the_operator_is_recognized(monkeypatch: pytest.MonkeyPatch) -> None:
    needs("onnx")
    import onnxruntime

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("NOT_IMPLEMENTED : Could not find an implementation for DeformConv(19)")

    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    assert onnx_operators.runs_deform_conv.__wrapped__() is False


def test_default_file() -> None:
    path = Path("runs/a/best.safetensors")
    assert default_export(Checkpoint(path, {}), "onnx") == Path("runs/a/best.onnx")
    assert default_export(Checkpoint(path, {}, "acsnet_busi"), "torch") == Path("acsnet_busi.pt2")


Change = Callable[[Path], dict[str, Any]]


def _existing(checkpoint: Path) -> dict[str, Any]:
    checkpoint.with_suffix(".pt2").write_text("mine")
    return {}


def _broken_image(checkpoint: Path) -> dict[str, Any]:
    (checkpoint.parent / "broken.png").write_bytes(b"no image")
    return {"images": [checkpoint.parent / "broken.png"]}


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (_existing, InputError, r"unet\.pt2 exists already and is not overwritten: remove it, or give another"),
        (lambda path: {"out": path.with_name("a.pt")}, InputError, r"a\.pt has to end in \.pt2, as torch files do"),
        (_broken_image, DataError, r"broken\.png cannot be read as an image"),
        (lambda path: {"images": [path.with_name("no.png")]}, DataError, r"there is no file or folder .*no\.png"),
        (lambda _: {"format": "tflite"}, UnknownNameError, r"unknown format 'tflite': .*known: onnx, torch"),
        (lambda _: {"checkpoint": "no_such"}, UnknownNameError, r"unknown released checkpoint 'no_such'"),
    ],
)
def test_invalid_input_is_refused_before_the_export(
    save_tiny: SaveTiny, monkeypatch: pytest.MonkeyPatch, change: Change, error: type[AcsnetError], text: str
) -> None:
    checkpoint = save_tiny()
    monkeypatch.setattr(pipeline, "load_network", None)
    with pytest.raises(error, match=text) as raised:
        export_checkpoint(**{"checkpoint": checkpoint, "format": "torch", **change(checkpoint)})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("format", ["torch", "onnx"])
@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "could not be written: the disk is full; free some space and run the command again"),
        (errno.EDQUOT, "could not be written: the disk is full; free some space and run the command again"),
        (errno.EFBIG, "could not be written (File too large): raise the limit of file sizes (ulimit -f), or choose"),
        (
            errno.EROFS,
            "could not be written (Read-only file system): choose a folder on a file system that is not read-",
        ),
    ],
)
def test_a_write_that_fails_is_one_line_and_leaves_no_file(
    save_tiny: SaveTiny, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, format: str, number: int, reason: str
) -> None:
    def write_half(path: Path, *_: Any) -> None:
        with path.open("wb") as file:
            file.write(b"half")
        raise OSError(number, os.strerror(number))

    kind = formats.find_format(format)
    write = (lambda _, path, *others: write_half(path)) if format == "onnx" else kind.write
    monkeypatch.setattr(pipeline, "find_format", lambda _: replace(kind, write=write, check=lambda: None))
    checkpoint = save_tiny()
    monkeypatch.setattr(Path, "write_bytes", write_half)
    out = tmp_path / "out" / f"a{kind.suffix}"
    with pytest.raises(WriteError) as caught:
        export_checkpoint(checkpoint, format, out)
    assert str(caught.value).startswith(f"{out} {reason}")
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("place", ["file/a.pt2", "/proc/none/a.pt2", "a" * 300 + ".pt2", "/dev/null/a.pt2"])
def test_a_place_that_cannot_be_written_is_found_before_the_export(
    save_tiny: SaveTiny, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(pipeline, "load_network", None)
    with pytest.raises(WriteError, match=r"\.pt2 could not be written \(.+\): choose "):
        export_checkpoint(save_tiny(), "torch", tmp_path / place)


@pytest.mark.slow
def test_a_disk_that_fills_up_does_not_end_the_process(save_tiny: SaveTiny, tmp_path: Path) -> None:
    """The limit of the file size stands for the disk: PyTorch's own writer aborts."""
    code = (
        "import resource; from acsnet.export import export_checkpoint; from acsnet._utils.files import WriteError\n"
        "from pathlib import Path; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        f"try: export_checkpoint(Path({str(save_tiny())!r}), 'torch', Path({str(tmp_path / 'out' / 'a.pt2')!r}))\n"
        "except WriteError as error: print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    reason = "(File too large): raise the limit of file sizes (ulimit -f), or choose another file system"
    expected = f"{tmp_path / 'out' / 'a.pt2'} could not be written {reason}\n"
    assert result.stdout == expected
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("missing", [("onnx", "onnxscript", "onnxruntime"), ("onnxscript",), ("onnxruntime",)])
def test_missing_extra_is_named(save_tiny: SaveTiny, monkeypatch: pytest.MonkeyPatch, missing: tuple[str]) -> None:
    checkpoint = save_tiny()
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    text = rf"^exporting to ONNX needs {', '.join(missing)}: pip install 'acsnet\[export\]'$"
    with pytest.raises(MissingPackageError, match=text):
        export_checkpoint(checkpoint, "onnx")


def test_tool(invoke: Invoke, save_tiny: SaveTiny, phantom_root: Path, tmp_path: Path) -> None:
    checkpoint, out = save_tiny(), tmp_path / "new" / "network.pt2"
    image = phantom_root / "benign" / "benign (1).png"
    given = ("--checkpoint", checkpoint, "--format", "torch", "--out", out, "--images", image)
    status, output, errors = invoke("export", *given)
    assert status == 0, errors
    assert output.startswith(f"{out}: ")
    assert "images of 32x48 (height x width) in, probabilities out: mask, classes\n" in output
    assert "dynamic: batch, height, width (multiples of 4)\n" in output
    text = r"largest difference of a probability from the network's: \S+ \(1 of 1 images given; 1x3x32x48, 2x3x32x48, "
    assert re.search(text, output)
    status, _, errors = invoke("export", *given)
    assert status == 2
    assert errors.startswith(f"error: {out} exists already")


def printed_example() -> str:
    """Return the example of the page "Export" that runs the ONNX file without this package."""
    page = (REPOSITORY / "docs" / "guides" / "export.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    return example


@pytest.mark.parametrize("channels", [3, 1])
def test_printed_example_gives_the_predictor_s_result_without_this_package(
    save_tiny: SaveTiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int
) -> None:
    needs("onnx")
    checkpoint = save_tiny(width=4, depth=2, in_channels=channels)
    example = printed_example()
    assert len([line for line in example.splitlines() if line.strip()]) <= 10
    picture = Path(re.findall(r'"([^"]+\.png)"', example)[0])
    monkeypatch.chdir(tmp_path)
    write_png(picture, make_phantom("malignant", 3, (100, 130)).image)
    export_checkpoint(checkpoint, "onnx", Path("acsnet.onnx"))

    code = f"{example}\nimport numpy\nnumpy.savez('found.npz', mask=mask, classes=classes)"
    printed = run_without(("acsnet", "torch"), code)
    prediction = acsnet.Predictor.from_checkpoint(checkpoint, device="cpu")(picture)
    found = np.load("found.npz")
    assert prediction.probabilities is not None
    np.testing.assert_allclose(found["classes"][0], list(prediction.probabilities.values()), rtol=0, atol=1e-5)
    resized = cv2.resize(found["mask"][0, 0], (130, 100), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(resized, prediction.mask_probability, rtol=0, atol=1e-5)
    assert printed.split()[0] == prediction.label


@pytest.mark.slow
@every_format
@pytest.mark.parametrize("name", acsnet.list_models())
def test_every_network_is_exported_with_any_batch_and_size(save_tiny: SaveTiny, name: str, format: str) -> None:
    needs(format)
    tiny_arguments = runpy.run_path(str(REPOSITORY / "tests" / "models" / "update_snapshots.py"))["tiny_arguments"]
    result = export_checkpoint(save_tiny(name, size=(64, 96), **tiny_arguments(name)), format)
    assert result.dynamic == ("batch", "height", "width"), result.refusals
