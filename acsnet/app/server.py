"""The server of the page: on this machine only, without telemetry, and without a request to any other host."""

import errno
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from acsnet.app.examples import make_examples
from acsnet.app.limits import MAX_UPLOAD_BYTES
from acsnet.app.networks import Networks
from acsnet.errors import InputError

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 7860
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
# Read by Gradio and the Hugging Face Hub when they are imported.
_ENVIRONMENT = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_RUN_HISTORY": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
# Gradio shows the keys of these texts, which its own translations lack.
_MISSING_TEXTS = {"common.upload": "Upload", "common.complete": "Complete"}
# The browser refuses what the page would fetch from another host.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "frame-ancestors 'none'; form-action 'self'; base-uri 'self'"
)
_HEADERS = {"content-security-policy": _POLICY, "referrer-policy": "no-referrer", "x-content-type-options": "nosniff"}
_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[Any]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class PageServer:
    """The page, ready to be served; the port is taken from here on.

    Args:
        networks: the networks to choose from.
        host: the address to listen at; the default is reached from this machine only.
        port: the port; 0 for any free one.

    Attributes:
        address: the address of the page.

    Raises:
        InputError: if the port is taken or the host is not an address of this machine.
    """

    def __init__(self, networks: Networks, host: str = DEFAULT_HOST, port: int = DEFAULT_PORT) -> None:
        self._networks = networks
        self._host = host
        self._socket = open_socket(host, port)
        shown = f"[{host}]" if ":" in host else host
        self.address = f"http://{shown}:{self._socket.getsockname()[1]}"
        self._server: Any = None

    def run(self) -> None:
        """Serve the page until :meth:`stop`, or a signal; then remove all uploaded files and results."""
        with self._socket, tempfile.TemporaryDirectory(prefix="acsnet-app-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            with _environment({**_ENVIRONMENT, "GRADIO_TEMP_DIR": str(folder / "cache")}):
                import uvicorn

                config = uvicorn.Config(
                    self._build(folder), log_level="critical", access_log=False, timeout_graceful_shutdown=1
                )
                self._server = uvicorn.Server(config)
                self._server.run([self._socket])

    def close(self) -> None:
        """Release the port; :meth:`run` does so when it ends."""
        self._socket.close()

    @property
    def is_ready(self) -> bool:
        """Whether the page answers."""
        return self._server is not None and bool(self._server.started)

    def stop(self) -> None:
        """End :meth:`run`, from another thread."""
        if self._server is not None:
            self._server.should_exit = True

    def _build(self, folder: Path) -> Any:
        import gradio as gr
        from fastapi import FastAPI
        from fastapi.middleware.trustedhost import TrustedHostMiddleware

        from acsnet._utils.html import read_template
        from acsnet.app.page import Page

        downloads = folder / "downloads"
        downloads.mkdir()
        page = Page(self._networks, make_examples(folder / "examples"), downloads)
        application = FastAPI(openapi_url=None)
        if self._host in _LOOPBACK:
            # A page of another host whose name leads here is refused.
            application.add_middleware(TrustedHostMiddleware, allowed_hosts=[*_LOOPBACK, "[::1]"])
        application.add_middleware(_Headers)
        fonts = ("system-ui", "sans-serif")
        return gr.mount_gradio_app(
            application,
            page.blocks,
            path="/",
            server_name=self._host,
            server_port=self._socket.getsockname()[1],
            footer_links=[],
            run_history=False,
            allowed_paths=[str(downloads), str(folder / "examples")],
            max_file_size=MAX_UPLOAD_BYTES,
            show_error=True,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            enable_monitoring=False,
            i18n=gr.I18n(en=_MISSING_TEXTS),
            theme=gr.themes.Default(
                primary_hue="teal", secondary_hue="teal", font=fonts, font_mono=("ui-monospace", "monospace")
            ),
            css=read_template("app.css"),
            js=read_template("app.js"),
        )


class _Headers:
    """Adds headers to each answer; an ASGI application around another."""

    def __init__(self, app: Callable[[_Scope, _Receive, _Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", []), *added]}
            await send(message)

        await self._app(scope, receive, send_with_headers)


def open_socket(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to a host and a port; 0 for any free port.

    Raises:
        InputError: if the port is taken or may not be used, or the host is not an address of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError):
        raise _unknown_host(host) from None
    bound = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            # A port that another program has just left.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        # A browser that comes before the server is ready waits.
        bound.listen()
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise InputError(
                f"port {port} of {host} is taken, by another acsnet app perhaps: choose another, as in --port "
                f"{port + 1 if port < 65535 else 0}, or --port 0 for any free one"
            ) from None
        if error.errno == errno.EACCES:
            raise InputError(f"port {port} needs the rights of an administrator: choose one above 1023") from None
        raise _unknown_host(host) from None
    return bound


def _unknown_host(host: str) -> InputError:
    return InputError(
        f"{host!r} is not an address of this machine: leave --host out for this machine only, or give 0.0.0.0 for all "
        "of its addresses"
    )


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables during the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
