"""The server: its address, and what it refuses."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from acsnet.app.networks import Networks
from acsnet.app.server import PageServer, _environment, open_socket
from acsnet.errors import InputError
from conftest import REPOSITORY, Invoke


def test_only_this_machine_is_the_default() -> None:
    server = PageServer(Networks(), port=0)
    assert server.address.startswith("http://127.0.0.1:")
    assert not server.is_ready
    server.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_port_that_is_taken(host: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"^port {port} of {host} is taken, .*: choose another, as in --port"):
            open_socket(host, port)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1", "a..b"])
def test_a_host_that_is_not_this_machine(host: str) -> None:
    with pytest.raises(InputError, match=f"^{host!r} is not an address of this machine: leave --host out"):
        open_socket(host, 0)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() == 0, reason="an administrator may use all ports")
def test_a_port_of_the_administrator() -> None:
    with pytest.raises(InputError, match=r"^port 1 needs the rights of an administrator: choose one above 1023"):
        open_socket("127.0.0.1", 1)


def test_a_mistake_on_the_command_line_is_one_line(invoke: Invoke) -> None:
    with open_socket("127.0.0.1", 0) as other:
        port = other.getsockname()[1]
        expected = (
            f"error: port {port} of 127.0.0.1 is taken, by another acsnet app perhaps: choose another, as in --port"
        )
        status, out, errors = invoke("app", "--port", port)
        assert (status, out) == (2, "")
        assert errors.startswith(expected)
        assert errors.count("\n") == 1
    for arguments, part in (
        (("--port", "70000"), "--port"),
        (("--checkpoint", "missing.safetensors"), "missing.safetensors"),
        (("--host", "no-such-host.invalid"), "'no-such-host.invalid' is not an address of this machine"),
        (("--chekpoint", "x"), "--checkpoint"),
    ):
        status, out, errors = invoke("app", *arguments)
        assert (status, out, errors.count("\n")) == (2, "", 1)
        assert part in errors


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_it_and_nothing_is_left(number: signal.Signals, status: int, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "tools" / "app.py"), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(tmp_path), "no_proxy": "127.0.0.1"},
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    assert process.stdout is not None
    address = process.stdout.readline().split()[0]
    with urllib.request.urlopen(address, timeout=60) as answer:
        assert answer.status == 200
    process.send_signal(number)
    assert process.wait(30) == status
    assert process.communicate()[1].count("\n") == 1
    assert not [*tmp_path.glob("acsnet-app-*")]


def test_the_environment_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACSNET_A", "before")
    monkeypatch.delenv("ACSNET_B", raising=False)
    with _environment({"ACSNET_A": "1", "ACSNET_B": "2"}):
        assert (os.environ["ACSNET_A"], os.environ["ACSNET_B"]) == ("1", "2")
    assert os.environ["ACSNET_A"] == "before"
    assert "ACSNET_B" not in os.environ
