"""The backend ``triton``: kernels interpreted, compiled ahead of time and on a GPU; the choice of other backends."""

import functools
import importlib.util
import logging
import os
import re
import subprocess
import sys
import types
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from acsnet.errors import InputError
from acsnet.ops import deform_conv, deform_conv2d
from acsnet.ops.backends import Backend, DeformConvCall, Gradients, Needs, pytorch, triton
from acsnet.ops.backends.base import ANY_DEVICE

FOLDER = Path(__file__).parent
HAS_TRITON = importlib.util.find_spec("triton") is not None and (
    tuple(int(number) for number in metadata.version("triton").split(".")[:2]) >= (3, 2)
)
needs_triton = pytest.mark.skipif(not HAS_TRITON, reason="needs Triton 3.2 or newer")
#: C_in, C_out, and height and width: the deformable attention of ACSNet, and a large map.
SHAPES = [(512, 512, 16), (1024, 512, 16), (256, 256, 32), (512, 256, 32), (64, 64, 128)]


def make_call(
    shape: tuple[int, int, int], batch: int, dtype: torch.dtype, device: str, requires_grad: bool = False
) -> DeformConvCall:
    """Return a modulated 3x3 convolution of random values, at positions that are exact in float32."""
    channels, out_channels, size = shape
    random = torch.Generator(device if device != "meta" else "cpu").manual_seed(3)

    def normal(*sizes: int) -> torch.Tensor:
        if device == "meta":
            return torch.empty(*sizes, dtype=dtype, device=device)
        return torch.randn(*sizes, generator=random, device=device).to(dtype)

    call = DeformConvCall(
        input=normal(batch, channels, size, size),
        offset=(128 * normal(batch, 18, size, size)).round() / 64 + 1 / 128,
        weight=normal(out_channels, channels, 3, 3) / (3 * channels**0.5),
        bias=normal(out_channels),
        mask=normal(batch, 9, size, size).sigmoid(),
        stride=(1, 1),
        padding=(1, 1),
        dilation=(1, 1),
        groups=1,
        offset_groups=1,
        dtype=dtype,
    )
    for tensor in call[:5]:
        tensor.requires_grad_(requires_grad)
    return call


# In the interpreter


@needs_triton
def test_in_the_interpreter():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {"TRITON_INTERPRET": "1", "PYTHONPATH": str(FOLDER)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(FOLDER / "triton_in_interpreter.py")]
    result = subprocess.run(command, env=environment, cwd=FOLDER, capture_output=True, text=True, timeout=600)
    if "only 0-dimensional arrays can be converted" in result.stdout:
        pytest.skip("the interpreter of this Triton is older than this NumPy and does not run on it")
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"\d\d passed", result.stdout), result.stdout


# Compiled ahead of time, for GPUs that are not here


class Launch(NamedTuple):
    kernel: Any
    grid: tuple[int, ...]
    tensors: tuple[torch.Tensor | None, ...]
    settings: dict[str, Any]


def launches_of(monkeypatch, call: DeformConvCall, capability: tuple[int, int] = (9, 0)) -> list[Launch]:
    """Return the launches of forward and backward pass on a GPU of 132 multiprocessors."""
    launches: list[Launch] = []
    monkeypatch.setattr(triton, "_processors", lambda device: 132)
    monkeypatch.setattr(triton, "_capability", lambda device: capability)
    monkeypatch.setattr(
        triton,
        "_launch",
        lambda kernel, grid, *tensors, **settings: launches.append(Launch(kernel, grid, tensors, settings)),
    )
    triton._backward(call, triton._forward(call), Needs(*(True,) * 5))
    return launches


TYPES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


def specialize(launch: Launch) -> tuple[dict[str, str], dict[str, Any], dict[tuple[int, ...], Any], dict[str, Any]]:
    """Return the signature, constants, attributes and options with which Triton's launcher compiles a kernel."""
    arguments = dict(zip(launch.kernel.arg_names, launch.tensors, strict=False)) | launch.settings
    options = {name: arguments.pop(name) for name in tuple(arguments) if name not in launch.kernel.arg_names}
    signature, constants, attributes = {}, {}, {}
    for index, name in enumerate(launch.kernel.arg_names):
        value = arguments[name]
        if isinstance(value, torch.Tensor):
            signature[name] = f"*{TYPES[value.dtype]}"
        elif value is None or value == 1 or name.isupper():
            signature[name], constants[name] = "constexpr", value
            continue
        else:
            signature[name] = "i32" if value < 2**31 else "i64"
        if isinstance(value, torch.Tensor) or value % 16 == 0:
            attributes[index,] = [["tt.divisibility", 16]]
    return signature, constants, attributes, options


def compile_for(launch: Launch, arch: int, folder: Path) -> dict[str, int]:
    """Return registers and stack bytes per thread, and bytes of shared memory per program, on ``sm_<arch>``."""
    from triton import compile, knobs
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature, constants, attributes, options = specialize(launch)
    source = ASTSource(launch.kernel, signature, constants, attributes)
    compiled = compile(source, target=GPUTarget("cuda", arch, 32), options=options)
    binary = folder / "kernel.cubin"
    binary.write_bytes(compiled.asm["cubin"])
    usage = subprocess.run(
        [knobs.nvidia.cuobjdump.path, "-res-usage", binary], capture_output=True, text=True, check=True
    ).stdout
    registers, stack = (int(re.search(rf"{what}:(\d+)", usage).group(1)) for what in ("REG", "STACK"))
    return {"registers": registers, "stack": stack, "shared": compiled.metadata.shared}


@pytest.fixture
def compiler(monkeypatch, tmp_path) -> Callable[[Launch, int], dict[str, int]]:
    """Return Triton's ahead-of-time compiler with an empty cache."""
    if os.environ.get("TRITON_INTERPRET") == "1":
        pytest.skip("Triton interprets in this process")
    knobs = pytest.importorskip("triton.knobs", reason="needs Triton 3.4 or newer", exc_type=ImportError)
    try:
        assert knobs.nvidia.ptxas.path
        assert knobs.nvidia.cuobjdump.path
    except RuntimeError as error:
        pytest.skip(f"Triton's assembler is not here: {error}")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    return functools.partial(compile_for, folder=tmp_path)


def test_kernels_compile_for_hopper(monkeypatch, compiler):
    launches = launches_of(monkeypatch, make_call(SHAPES[0], 8, torch.bfloat16, "meta"))
    assert [launch.kernel.__name__ for launch in launches] == [
        "forward_kernel",
        "backward_weight_kernel",
        "backward_columns_kernel",
    ]
    for launch in launches:
        usage = compiler(launch, 90)
        # Two programs of eight warps on a multiprocessor, of 65536 registers and 227 KB, and nothing in slow memory.
        assert usage["registers"] <= 128
        assert usage["stack"] == 0
        assert usage["shared"] <= 65536


@pytest.mark.slow
@pytest.mark.parametrize("allows_tf32", [False, True], ids=["exact", "tf32"])
@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("arch", [80, 86, 90, 100, 120])
def test_kernels_compile_for_all_shapes(monkeypatch, compiler, arch, dtype, allows_tf32):
    if allows_tf32 and dtype != torch.float32:
        pytest.skip("only float32 has a choice")
    monkeypatch.setattr(torch.backends.cuda, "matmul", types.SimpleNamespace(allow_tf32=allows_tf32))
    seen = []
    for shape in SHAPES:
        for batch in (1, 8):
            for launch in launches_of(monkeypatch, make_call(shape, batch, dtype, "meta"), divmod(arch, 10)):
                variant = (launch.kernel.__name__, specialize(launch))
                if variant in seen:
                    continue
                seen.append(variant)
                usage = compiler(launch, arch)
                assert usage["shared"] <= 99 * 1024, (variant, usage)  # what the smallest of them give a program
                assert usage["stack"] <= 256, (variant, usage)
    assert len(seen) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("input", "weight", "offset_groups"),
    [
        ((1, 1, 1, 1), (1, 1, 1, 1), 1),
        ((2, 3, 5, 7), (4, 3, 3, 3), 3),
        ((2, 32, 5, 7), (32, 1, 3, 3), 1),
        ((1, 96, 16, 16), (80, 48, 5, 1), 2),
        ((3, 40, 1, 9), (24, 20, 1, 2), 1),
    ],
    ids=str,
)
def test_kernels_compile_for_odd_shapes(monkeypatch, compiler, input, weight, offset_groups, dtype):
    taps = weight[2] * weight[3]
    new = functools.partial(torch.empty, dtype=dtype, device="meta")
    height, width = input[2] + 4 - weight[2] + 1, input[3] + 4 - weight[3] + 1
    offset, mask = (new(input[0], offset_groups * taps * number, height, width) for number in (2, 1))
    options = {"stride": (1, 1), "padding": (2, 2), "dilation": (1, 1), "offset_groups": offset_groups, "dtype": dtype}
    groups = input[1] // weight[1]
    bare = DeformConvCall(new(input), offset, new(weight), None, None, groups=groups, **options)
    for call in (bare, bare._replace(mask=mask, bias=new(weight[0]))):
        for arch in (80, 90):
            for launch in launches_of(monkeypatch, call, divmod(arch, 10)):
                assert compiler(launch, arch)["shared"] <= 99 * 1024


@needs_triton
@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_work_fills_the_device_and_sums_stay_small(monkeypatch, shape, dtype, batch):
    channels, _, size = shape
    columns = 4 * batch * size**2 * 9 * channels
    forward, by_weight, by_columns = launches_of(monkeypatch, make_call(shape, batch, dtype, "meta"))
    for launch in (forward, by_columns, by_weight):
        assert functools.reduce(int.__mul__, launch.grid) >= 60
    for launch in (forward, by_weight):
        sums = launch.tensors[0]
        assert len(sums) == 1 or sums.nbytes <= columns / 3
    assert sum(tensor.nbytes for tensor in by_columns.tensors[1:3]) <= columns / 10


# On a GPU

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def gradients(call: DeformConvCall, backend: str) -> list[torch.Tensor]:
    leaves = [tensor.detach().requires_grad_() for tensor in call[:5]]
    input, offset, weight, bias, mask = leaves
    output = deform_conv2d(input, offset, weight, bias, 1, 1, 1, mask, backend)
    output.backward(torch.linspace(-1, 1, output.numel(), device=output.device).sin().view_as(output).to(output.dtype))
    return [output.detach()] + [leaf.grad for leaf in leaves]


@pytest.mark.cuda
@cuda
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2), (torch.float16, 2e-3)], ids=str
)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_cuda_agrees_with_float64(shape, dtype, tolerance, layout):
    call = make_call(shape, 2, dtype, "cuda")
    call = call._replace(input=call.input.contiguous(memory_format=layout))
    exact = call._replace(**{name: getattr(call, name).double() for name in call._fields[:5]})
    for name, one, other in zip(
        ("output", *call._fields), gradients(call, "triton"), gradients(exact, "torch"), strict=False
    ):
        assert one.dtype == dtype
        assert (one - other).norm() < tolerance * other.norm(), name


@pytest.mark.cuda
@cuda
def test_cuda_honors_tf32():
    call = make_call(SHAPES[2], 2, torch.float32, "cuda")
    exact = gradients(call, "triton")
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        rough = gradients(call, "triton")
    finally:
        torch.set_float32_matmul_precision(before)
    assert 1e-5 * exact[0].norm() < (rough[0] - exact[0]).norm() < 2e-3 * exact[0].norm()


@pytest.mark.cuda
@cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [SHAPES[2], SHAPES[4]], ids=str)
def test_cuda_takes_a_third_of_the_memory_of_torchvision(shape, dtype):
    peaks = {}
    for backend in ("triton", "torchvision"):
        call = make_call(shape, 8, dtype, "cuda")
        call = call._replace(input=call.input.contiguous(memory_format=torch.channels_last))
        gradients(call, backend)
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        gradients(call, backend)
        torch.cuda.synchronize()
        peaks[backend] = torch.cuda.max_memory_allocated() - before
    assert 3 * peaks["triton"] <= peaks["torchvision"], peaks


@pytest.mark.cuda
@cuda
def test_cuda_is_chosen_and_repeats_itself_forward():
    call = make_call(SHAPES[0], 1, torch.bfloat16, "cuda")
    assert deform_conv._fastest("cuda", torch.bfloat16, is_deterministic=False) == "triton"
    first, second = gradients(call, "auto"), gradients(call, "triton")
    assert all(torch.equal(one, other) for one, other in zip(first[2:], second[2:], strict=True))
    assert torch.equal(first[0], second[0])


# Where it does not run


@pytest.fixture
def without_gpu(monkeypatch):
    monkeypatch.setattr(triton, "_IS_INTERPRETED", False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    triton._is_available.cache_clear()
    yield
    triton._is_available.cache_clear()


@pytest.mark.usefixtures("without_gpu")
def test_without_a_gpu_the_message_names_the_requirements():
    with pytest.raises(InputError, match=r"'triton' is not installed.*'triton>=3.2'.*CUDA device.*TRITON_INTERPRET=1"):
        deform_conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 2, 3, 3), torch.ones(1, 1, 1, 1), backend="triton")


@pytest.mark.usefixtures("without_gpu")
@pytest.mark.parametrize(
    ("version", "answer"), [("3.1.0", False), ("3.2.0", True), ("3.10.0+git1", True), (None, False)], ids=str
)
def test_availability_is_that_of_triton_and_a_gpu(monkeypatch, version, answer):
    assert not triton._is_available()
    triton._is_available.cache_clear()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: version)
    for name in ("triton", "triton.language"):
        monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(__version__=version))
    assert triton._is_available() == answer


@pytest.mark.usefixtures("without_gpu")
def test_a_triton_that_cannot_be_imported_is_reported_once(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "triton", None)
    with caplog.at_level(logging.WARNING):
        assert not triton._is_available()
        assert not triton._is_available()
    (record,) = caplog.records
    assert re.search(r"backend 'triton' is not used: ModuleNotFoundError: .*triton", record.getMessage())


def test_requested_by_name_on_a_cpu(monkeypatch):
    stand_in = Backend("triton", triton._run, triton._gradients, lambda: True, {"cuda": 40}, "")
    monkeypatch.setitem(deform_conv._BACKENDS, "triton", stand_in)
    with pytest.raises(InputError, match=r"'triton' runs on cuda, the input is on cpu; use backend='auto'"):
        deform_conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 2, 3, 3), torch.ones(1, 1, 1, 1), backend="triton")


def test_precision_follows_the_settings_of_pytorch(monkeypatch):
    def precision(dtype=torch.float32, **settings):
        monkeypatch.setattr(torch.backends.cuda, "matmul", types.SimpleNamespace(**settings))
        return triton._precision(dtype)

    assert precision(allow_tf32=True) == "tf32"
    assert precision(allow_tf32=False) == "tf32x3"
    assert precision(fp32_precision="tf32") == "tf32"
    assert precision(fp32_precision="ieee") == precision(fp32_precision="none") == "tf32x3"
    assert precision(torch.bfloat16, fp32_precision="tf32") == "ieee"


# Who takes over


class Fake:
    """A backend that is chosen first, and a record of its calls."""

    def __init__(self, error: Exception | None = None, **fields: Any) -> None:
        self.error, self.calls = error, 0
        self.backend = Backend("fake", self.run, self.gradients, lambda: True, {"cpu": 99}, "nothing", **fields)

    def run(self, call: DeformConvCall) -> torch.Tensor:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return pytorch.BACKEND.run(call)

    def gradients(self, call: DeformConvCall, grad: torch.Tensor, needs: Needs) -> Gradients:
        self.run(call)
        return pytorch.BACKEND.gradients(call, grad, needs)


@pytest.fixture
def install(monkeypatch) -> Callable[..., None]:
    """Register only the given backends."""

    def only(*backends: Backend) -> None:
        monkeypatch.setattr(deform_conv, "_BACKENDS", {backend.name: backend for backend in backends})
        monkeypatch.setattr(deform_conv, "_FAILED", set())

    return only


def convolve(backend: str = "auto", requires_grad: bool = True) -> torch.Tensor:
    call = make_call((2, 3, 4), 1, torch.float32, "cpu", requires_grad)
    return deform_conv2d(call.input, call.offset, call.weight, call.bias, 1, 1, 1, call.mask, backend)


def test_the_next_backend_replaces_one_that_fails_and_logs_it_once(install, caplog):
    fake = Fake(OSError("no compiler"))
    install(fake.backend, pytorch.BACKEND)
    with caplog.at_level(logging.WARNING):
        first, second = convolve(), convolve()
    assert torch.equal(first, convolve("torch"))
    assert torch.equal(second, first)
    assert fake.calls == 1
    (record,) = caplog.records
    message = record.getMessage()
    assert message == "deform_conv2d: backend 'fake' fails on cpu and is not used again: OSError: no compiler"


def test_the_next_backend_replaces_one_that_fails_in_the_backward_pass(install, caplog):
    fake = Fake()
    install(fake.backend, pytorch.BACKEND)
    output = convolve()
    assert fake.calls == 1
    fake.error = OSError("no compiler")
    with caplog.at_level(logging.WARNING):
        output.sum().backward()
    assert fake.calls == 2
    (record,) = caplog.records
    assert "backend 'fake' fails on cpu and is not used again" in record.getMessage()


@pytest.mark.parametrize(
    "error",
    [InputError("wrong"), torch.cuda.OutOfMemoryError("full"), MemoryError("full")],
    ids=lambda e: type(e).__name__,
)
def test_errors_of_the_user_and_of_memory_are_not_failures_of_the_backend(install, error):
    fake = Fake(error)
    install(fake.backend, pytorch.BACKEND)
    for _ in range(2):
        with pytest.raises(type(error), match=str(error)):
            convolve()
    assert fake.calls == 2


def test_the_error_of_a_named_backend_and_of_the_last_is_raised(install):
    fake = Fake(OSError("no compiler"))
    last = Backend("torch", fake.run, fake.gradients, lambda: True, {ANY_DEVICE: 1}, "", frozenset({ANY_DEVICE}))
    install(fake.backend, last)
    for name in ("fake", "torch", "auto"):
        with pytest.raises(OSError, match="no compiler"):
            convolve(name)
    assert fake.calls == 4


def test_a_dtype_that_a_backend_does_not_support(install):
    fake = Fake(dtypes=frozenset({torch.float64}))
    install(fake.backend, pytorch.BACKEND)
    convolve()
    assert fake.calls == 0
    with pytest.raises(InputError, match=r"backend 'fake' does not compute float32; use backend='auto'"):
        convolve("fake")


@pytest.fixture
def deterministic():
    def turn(warn_only: bool) -> None:
        torch.use_deterministic_algorithms(True, warn_only=warn_only)

    yield turn
    torch.use_deterministic_algorithms(False)


def test_deterministic_algorithms_exclude_other_backends(install, deterministic):
    fake, sure = Fake(), Fake(deterministic_on=frozenset({"cpu"}))
    deterministic(warn_only=False)
    install(fake.backend, pytorch.BACKEND)
    convolve()
    assert fake.calls == 0
    with pytest.raises(
        RuntimeError, match=r"gradients of backend 'fake' are not deterministic on cpu.*'auto' or 'torch'"
    ):
        convolve("fake")
    convolve("fake", requires_grad=False)
    with torch.no_grad():
        convolve("fake")
    install(sure.backend, pytorch.BACKEND)
    convolve()
    convolve("fake")
    assert sure.calls == 2


def test_deterministic_algorithms_may_only_warn(install, deterministic):
    fake = Fake()
    install(fake.backend, pytorch.BACKEND)
    deterministic(warn_only=True)
    with pytest.warns(UserWarning, match=r"backend 'fake' are not deterministic on cpu") as record:
        convolve("fake")
    assert record[0].filename == __file__
    assert fake.calls == 1


@pytest.mark.parametrize(
    ("name", "cpu", "cuda", "mps"),
    [("torch", True, True, True), ("torchvision", True, False, False), ("mmcv", True, False, False)],
)
def test_deterministic_backends(name, cpu, cuda, mps):
    backend = deform_conv.find_backend(name)
    assert [backend.is_deterministic_on(device) for device in ("cpu", "cuda", "mps")] == [cpu, cuda, mps]
    assert not triton.BACKEND.is_deterministic_on("cuda")
