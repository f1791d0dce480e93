"""Fixtures of all tests: a phantom dataset, a tiny training, the real images if available, a web server."""

import gc
import hashlib
import importlib.util
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
# Tiny networks are fastest on one thread, and one worker per core (pytest -n) uses the machine better than threads.
os.environ["OMP_NUM_THREADS"] = "1"

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_collection_finish() -> None:
    """Leave the imported packages and the collected tests out of garbage collection, which statsmodels starts often."""
    gc.collect()
    gc.freeze()


pytest_plugins = ["fixtures.made_up_runs", "fixtures.noise_sets"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the tests out of the user's cache of decoded images."""
    monkeypatch.setenv("ACSNET_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def phantom_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small phantom dataset in BUSI's layout: 14 benign, 12 malignant, 10 normal images of 64x64. Read-only."""
    from acsnet.phantom import write_phantoms

    root = tmp_path_factory.mktemp("phantoms") / "set"
    write_phantoms(root, {"benign": 14, "malignant": 12, "normal": 10}, size=(64, 64), vary_size=False, progress=False)
    return root


@pytest.fixture(scope="session")
def busi_root() -> Path:
    """The real images, from ACSNET_BUSI or ../shared/data; the test is skipped if there are none."""
    root = Path(os.environ.get("ACSNET_BUSI") or REPOSITORY.parent / "shared" / "data" / "Dataset_BUSI_with_GT")
    if not root.is_dir():
        pytest.skip(f"the real BUSI images are missing: set ACSNET_BUSI (looked in {root})")
    return root


TINY_NETWORK = {"encoder": "mobilenetv3_small_050", "widths": [16, 16, 16, 16, 16]}


@pytest.fixture(scope="session")
def tiny_settings(phantom_root: Path) -> dict[str, Any]:
    """A configuration, as plain values, that trains on the phantoms in about a second per epoch."""
    return {
        "model": {"name": "acsnet", "arguments": TINY_NETWORK},
        "data": {"root": str(phantom_root), "image_size": [64, 64], "folds": {"count": 4, "validation": 0.34}},
        "augmentation": [{"name": "HorizontalFlip", "p": 0.5}],
        "optimizer": {"learning_rate": 1e-3},
        "training": {"epochs": 2, "batch_size": 4, "panel_every": 1},
    }


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory: pytest.TempPathFactory, tiny_settings: dict[str, Any]) -> Path:
    """The tiny configuration as a YAML file."""
    path = tmp_path_factory.mktemp("configs") / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny_settings), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory, tiny_config: Path) -> Path:
    """The run folder of a tiny training of two epochs. Read-only."""
    from acsnet.config import load_config
    from acsnet.training import Trainer

    folder = tmp_path_factory.mktemp("runs") / "tiny"
    Trainer.from_config(load_config(tiny_config), folder, progress=False).fit()
    return folder


def load_file(path: Path) -> Any:
    """Import a file that is in no package."""
    specification = importlib.util.spec_from_file_location(f"file_{path.stem}", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def build_tiny() -> Callable[..., Any]:
    """``build_tiny(name, **arguments)`` builds a small version of a model of the zoo."""
    return load_file(REPOSITORY / "tests" / "models" / "update_snapshots.py").build_tiny


Invoke = Callable[..., tuple[int, str, str]]


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Invoke:
    """Run a subcommand in this process: ``invoke("train", "acsnet_busi")`` returns exit status, output and errors.

    ``"benchmarks"``, ``"scripts.release"`` and ``"scripts.zoo"`` run as by ``python -m``.
    """

    def call(command: str, *arguments: object) -> tuple[int, str, str]:
        from acsnet.cli import main, run

        place = REPOSITORY.joinpath(*command.split("."))
        script = next((path for path in (place / "__main__.py", place.with_suffix(".py")) if path.is_file()), None)
        program = ["acsnet", command.replace("_", "-")] if script is None else [str(script)]
        monkeypatch.setattr(sys, "argv", [*program, *map(str, arguments)])
        capsys.readouterr()
        try:
            status = main() if script is None else run(load_file(script).main)
        except SystemExit as exit_:
            status = int(exit_.code or 0)
        output = capsys.readouterr()
        return status, output.out, output.err

    return call


class Site(ThreadingHTTPServer):
    """A web server on loopback, for tests of downloads.

    Attributes:
        files: served content by path, with ETag and ranges, as on the servers of publishers.
        replies: functions that answer a request, by path.
        requests: path and ``Range`` of each request so far.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _SiteHandler)
        self.files: dict[str, bytes] = {}
        self.replies: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.requests: list[tuple[str, str | None]] = []

    def url(self, path: str) -> str:
        """Return the address of a path."""
        return f"http://127.0.0.1:{self.server_port}{path}"

    @staticmethod
    def send(handler: BaseHTTPRequestHandler, content: bytes, stop_after: int | None = None) -> None:
        """Answer with a file or the requested rest of it; the connection ends ``stop_after`` so many bytes."""
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        wanted = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range") or "")
        start = int(wanted[1]) if wanted and handler.headers.get("If-Range", tag) == tag else 0
        if start >= len(content) > 0:
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(content)}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        handler.send_header("ETag", tag)
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        handler.wfile.write(content[start:] if stop_after is None else content[start : start + stop_after])

    def handle_error(self, *_: object) -> None:
        """Do nothing: the tests include clients that disconnect."""


class _SiteHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Site

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers.get("Range")))
        self.close_connection = True
        if self.path in self.server.replies:
            self.server.replies[self.path](self)
        elif self.path in self.server.files:
            self.server.send(self, self.server.files[self.path])
        else:
            self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A web server on loopback; downloads from it have no pauses and no proxy."""
    from acsnet._utils import download

    monkeypatch.setattr(download, "_PAUSE_SECONDS", 0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(params=["pipe", "device", "folder"])
def make_special(request: pytest.FixtureRequest) -> Callable[[Path], str]:
    """Make a path that is no file, and return the reason in error messages: ``reason = make_special(path)``."""

    def make(path: Path) -> str:
        if request.param == "pipe":
            os.mkfifo(path)
            return "it is a named pipe"
        if request.param == "device":
            path.symlink_to("/dev/zero")
            return "it is a device"
        path.mkdir()
        return "Is a directory"

    return make


@pytest.fixture
def my_network_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the example plugin, which can be imported; the registries are restored after the test."""
    import acsnet.losses
    from acsnet._utils import registration
    from acsnet.models import _registry

    folder = REPOSITORY / "docs" / "examples"
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(_registry, "_ENTRIES", {**_registry._ENTRIES})
    monkeypatch.setattr(registration, "_modules", {**registration._modules})
    yield folder
    acsnet.losses.SEGMENTATION_LOSSES.pop("tversky", None)
    sys.modules.pop("my_network", None)
