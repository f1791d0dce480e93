"""The server: its address, and what it refuses."""

import os
import socket
import sys

import pytest

from acsnet.app.networks import Networks
from acsnet.app.server import PageServer, _environment, open_socket
from acsnet.errors import InputError


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
    with pytest.raises(InputError, match="^port 1 needs the rights of an administrator: choose one above 1023"):
        open_socket("127.0.0.1", 1)


def test_the_environment_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACSNET_A", "before")
    monkeypatch.delenv("ACSNET_B", raising=False)
    with _environment({"ACSNET_A": "1", "ACSNET_B": "2"}):
        assert (os.environ["ACSNET_A"], os.environ["ACSNET_B"]) == ("1", "2")
    assert os.environ["ACSNET_A"] == "before"
    assert "ACSNET_B" not in os.environ
