"""Fetching from a server on loopback that behaves, and one that does not."""

import errno
import hashlib
import http.client
import re
import shutil
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acsnet._utils import download
from acsnet._utils.download import fetch
from acsnet._utils.files import DiskFullError, WriteError
from acsnet.errors import DownloadError

CONTENT = np.random.default_rng(0).bytes(1_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
Handler = BaseHTTPRequestHandler


def answer(status: int, headers: dict[str, str], body: bytes = b"") -> Callable[[Handler], None]:
    def reply(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return reply


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sets" / "x.zip"


def left(path: Path) -> list[str]:
    return sorted(one.name for one in path.parent.iterdir()) if path.parent.exists() else []


def get(url: str, path: Path, sha256: str = "", **settings: Any) -> str:
    return fetch(url, path, sha256, progress=False, **settings)


def test_a_file_is_fetched_and_hashed(site: Any, path: Path) -> None:
    site.files["/x.zip"] = CONTENT
    assert get(site.url("/x.zip"), path) == SHA256
    assert path.read_bytes() == CONTENT
    assert left(path) == ["x.zip"]
    assert site.requests == [("/x.zip", None)]


def test_an_empty_file(site: Any, path: Path) -> None:
    site.files["/x.zip"] = b""
    assert get(site.url("/x.zip"), path) == hashlib.sha256(b"").hexdigest()
    assert path.read_bytes() == b""


@pytest.mark.parametrize("sha256", [SHA256, SHA256.upper()])
def test_the_right_checksum(sha256: str, site: Any, path: Path) -> None:
    site.files["/x.zip"] = CONTENT
    assert get(site.url("/x.zip"), path, sha256) == SHA256


def test_another_checksum(site: Any, path: Path) -> None:
    site.files["/x.zip"] = b"something else"
    message = rf"x\.zip is not the expected file: its SHA-256 is [0-9a-f]{{64}}, not {SHA256}; it was deleted"
    with pytest.raises(DownloadError, match=message):
        get(site.url("/x.zip"), path, SHA256)
    assert left(path) == []


def test_an_interrupted_download_is_resumed(site: Any, path: Path) -> None:
    site.replies["/x.zip"] = lambda handler: site.send(handler, CONTENT, 300_000)
    assert get(site.url("/x.zip"), path) == SHA256
    assert path.read_bytes() == CONTENT
    assert [requested for _, requested in site.requests] == [
        None,
        "bytes=300000-",
        "bytes=600000-",
        "bytes=900000-",
    ]


def test_the_next_call_resumes(site: Any, path: Path) -> None:
    def once(handler: Handler) -> None:
        if len(site.requests) == 1:
            site.send(handler, CONTENT, 300_000)

    site.replies["/x.zip"] = once
    message = r"x\.zip could not be downloaded \(.+\); 0\.3 MB were received: run the command again to resume"
    with pytest.raises(DownloadError, match=message):
        get(site.url("/x.zip"), path)
    assert left(path) == [".x.zip.part", ".x.zip.part.json"]
    del site.replies["/x.zip"]
    site.files["/x.zip"] = CONTENT
    site.requests.clear()
    assert get(site.url("/x.zip"), path) == SHA256
    assert site.requests == [("/x.zip", "bytes=300000-")]
    assert left(path) == ["x.zip"]


def test_a_file_that_changed_meanwhile_is_begun_anew(site: Any, path: Path) -> None:
    def change(handler: Handler) -> None:
        content = b"x" * 1_000_000 if len(site.requests) == 1 else CONTENT
        site.send(handler, content, 300_000 if len(site.requests) == 1 else None)

    site.replies["/x.zip"] = change
    assert get(site.url("/x.zip"), path) == SHA256
    assert path.read_bytes() == CONTENT


def test_a_partial_file_of_another_address_is_restarted(site: Any, path: Path) -> None:
    path.parent.mkdir()
    (path.parent / ".x.zip.part").write_bytes(b"something else")
    (path.parent / ".x.zip.part.json").write_text('{"url": "http://elsewhere/x.zip", "validator": "1"}')
    site.files["/x.zip"] = CONTENT
    assert get(site.url("/x.zip"), path) == SHA256
    assert site.requests == [("/x.zip", None)]


@pytest.mark.parametrize("notes", ["", "no json", "[]", "{}"])
def test_a_partial_file_with_a_broken_validator_is_restarted(notes: str, site: Any, path: Path) -> None:
    path.parent.mkdir()
    (path.parent / ".x.zip.part").write_bytes(CONTENT[:500])
    (path.parent / ".x.zip.part.json").write_text(notes)
    site.files["/x.zip"] = CONTENT
    assert get(site.url("/x.zip"), path) == SHA256
    assert site.requests == [("/x.zip", None)]


def test_with_a_checksum_any_partial_file_is_resumed(site: Any, path: Path) -> None:
    path.parent.mkdir()
    (path.parent / ".x.zip.part").write_bytes(CONTENT[:500])
    site.files["/x.zip"] = CONTENT
    assert get(site.url("/x.zip"), path, SHA256) == SHA256
    assert site.requests == [("/x.zip", "bytes=500-")]


@pytest.mark.parametrize("size", [len(CONTENT), len(CONTENT) + 7])
def test_a_partial_file_that_is_complete_or_too_long(size: int, site: Any, path: Path) -> None:
    path.parent.mkdir()
    (path.parent / ".x.zip.part").write_bytes((CONTENT + b"7 bytes")[:size])
    site.files["/x.zip"] = CONTENT
    assert get(site.url("/x.zip"), path, SHA256) == SHA256
    assert path.read_bytes() == CONTENT


def test_a_server_without_ranges(site: Any, path: Path) -> None:
    def whole(handler: Handler) -> None:
        answer(200, {"Content-Length": str(len(CONTENT)), "Last-Modified": "Sat, 21 Nov 2026 10:00:00 GMT"})(handler)
        handler.wfile.write(CONTENT[:300_000] if len(site.requests) == 1 else CONTENT)

    site.replies["/x.zip"] = whole
    assert get(site.url("/x.zip"), path) == SHA256
    assert [requested for _, requested in site.requests] == [None, "bytes=300000-"]
    assert path.read_bytes() == CONTENT


def test_a_server_without_validators(site: Any, path: Path) -> None:
    def whole(handler: Handler) -> None:
        answer(200, {"Content-Length": str(len(CONTENT))})(handler)
        handler.wfile.write(CONTENT[:300_000] if len(site.requests) == 1 else CONTENT)

    site.replies["/x.zip"] = whole
    assert get(site.url("/x.zip"), path) == SHA256
    assert [requested for _, requested in site.requests] == [None, None]


def test_a_server_that_resumes_at_a_wrong_position(site: Any, path: Path) -> None:
    def shifted(handler: Handler) -> None:
        if handler.headers.get("Range"):
            headers = {"Content-Range": f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}", "Content-Length": "1000000"}
            answer(206, headers, CONTENT)(handler)
        else:
            site.send(handler, CONTENT, 300_000 if len(site.requests) == 1 else None)

    site.replies["/x.zip"] = shifted
    assert get(site.url("/x.zip"), path) == SHA256
    assert path.read_bytes() == CONTENT


def test_a_server_that_promises_more_than_it_has(site: Any, path: Path) -> None:
    site.replies["/x.zip"] = answer(200, {"Content-Length": "2000000", "ETag": '"1"'}, CONTENT)
    message = r"x\.zip could not be downloaded \(received 1000000 of 2000000 bytes\); 1\.0 MB were received"
    with pytest.raises(DownloadError, match=message):
        get(site.url("/x.zip"), path)
    assert not path.exists()


def test_a_server_that_promises_less_than_it_sends(site: Any, path: Path) -> None:
    site.replies["/x.zip"] = answer(200, {"Content-Length": "1000", "ETag": '"1"'}, CONTENT)
    with pytest.raises(DownloadError, match=r"is not the expected file"):
        get(site.url("/x.zip"), path, SHA256)
    assert left(path) == []


def test_a_chunked_answer(site: Any, path: Path) -> None:
    def chunked(handler: Handler) -> None:
        answer(200, {"Transfer-Encoding": "chunked"})(handler)
        for start in range(0, len(CONTENT), 100_000):
            if len(site.requests) == 1 and start:
                return
            handler.wfile.write(b"186a0\r\n" + CONTENT[start : start + 100_000] + b"\r\n")
        handler.wfile.write(b"0\r\n\r\n")

    site.replies["/x.zip"] = chunked
    assert get(site.url("/x.zip"), path) == SHA256
    assert len(site.requests) == 2, "the first was cut off"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_answers_that_pass(status: int, site: Any, path: Path) -> None:
    def busy(handler: Handler) -> None:
        site.send(handler, CONTENT) if len(site.requests) == 3 else answer(status, {"Content-Length": "0"})(handler)

    site.replies["/x.zip"] = busy
    assert get(site.url("/x.zip"), path) == SHA256
    assert len(site.requests) == 3


def test_answers_that_stay(site: Any, path: Path) -> None:
    site.replies["/x.zip"] = answer(503, {"Content-Length": "0"})
    with pytest.raises(DownloadError, match=r"could not be downloaded \(503 Service Unavailable\); try later"):
        get(site.url("/x.zip"), path)
    assert len(site.requests) == 4
    with pytest.raises(DownloadError, match=r"/none\.zip responds with 404 Not Found: check the publisher's page"):
        get(site.url("/none.zip"), path)
    assert len(site.requests) == 5
    assert left(path) == []


def test_a_server_that_never_gets_on(site: Any, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_MAX_ATTEMPTS", 10)
    site.replies["/x.zip"] = lambda handler: site.send(handler, CONTENT, 1)
    with pytest.raises(DownloadError, match=r"could not be downloaded \(received \d+ of 1000000 bytes\)"):
        get(site.url("/x.zip"), path)
    assert len(site.requests) == 10


def test_a_server_that_falls_silent(site: Any, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(download, "_TIMEOUT_SECONDS", 0.2)

    def silent(handler: Handler) -> None:
        if len(site.requests) > 1:
            site.send(handler, CONTENT)
            return
        answer(200, {"Content-Length": "1000000", "ETag": '"1"'}, CONTENT[:1000])(handler)
        released.wait(20)

    site.replies["/x.zip"] = silent
    assert get(site.url("/x.zip"), path) == SHA256
    released.set()


def test_nobody_answers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_PAUSE_SECONDS", 0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/x.zip"
        with pytest.raises(DownloadError, match=r"x\.zip could not be downloaded \(.*refused.*\); try later"):
            get(url, path)


def test_a_certificate_that_cannot_be_trusted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"

    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError(error)

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", refuse)
    message = r"has no trusted certificate \(self-signed certificate\): it was not downloaded"
    with pytest.raises(DownloadError, match=message):
        get("https://example.org/x.zip", path)


def test_redirects_are_followed_and_the_range_goes_with_them(site: Any, path: Path) -> None:
    site.replies["/old"] = answer(302, {"Location": "/older", "Content-Length": "0"})
    site.replies["/older"] = answer(301, {"Location": site.url("/x.zip"), "Content-Length": "0"})
    site.replies["/x.zip"] = lambda handler: site.send(handler, CONTENT, 600_000)
    assert get(site.url("/old"), path) == SHA256
    assert site.requests[-1] == ("/x.zip", "bytes=600000-")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        # The standard library rejects this one itself.
        ("file:///etc/passwd", r"Redirection to url 'file:///etc/passwd' is not allowed"),
        (
            "ftp://127.0.0.1/x.zip",
            r"/x\.zip redirects to ftp://127\.0\.0\.1/x\.zip, which is not an http or https address",
        ),
    ],
)
def test_redirects_to_other_protocols(target: str, message: str, site: Any, path: Path) -> None:
    site.replies["/x.zip"] = answer(302, {"Location": target, "Content-Length": "0"})
    with pytest.raises(DownloadError, match=message):
        get(site.url("/x.zip"), path)
    assert left(path) == []


def test_a_redirect_away_from_encryption() -> None:
    request = urllib.request.Request("https://example.org/x.zip")
    handler = download._CheckedRedirects()
    headers = http.client.HTTPMessage()
    message = r"https://example\.org/x\.zip redirects to http://example\.org/x\.zip, which is not encrypted: "
    with pytest.raises(DownloadError, match=message):
        handler.redirect_request(request, None, 302, "Found", headers, "http://example.org/x.zip")  # type: ignore[arg-type]
    followed = handler.redirect_request(request, None, 302, "Found", headers, "https://example.net/x.zip")  # type: ignore[arg-type]
    assert followed is not None
    assert followed.full_url == "https://example.net/x.zip"


MALFORMED = [
    "http://[::1/x.zip",
    "http://127.0.0.1:port/x.zip",
    "http://127.0.0.1:99999999/x.zip",
    "http://127.0.0.1:0/x.zip",
    "https://?x",
    f"http://{'a' * 70}.example/x.zip",
    "http://a..b/x.zip",
    f"http://{'a' * 5000}/x.zip",
]


@pytest.mark.parametrize("target", MALFORMED)
def test_addresses_that_no_server_can_have(target: str, site: Any, path: Path) -> None:
    site.replies["/x.zip"] = answer(302, {"Location": target, "Content-Length": "0"})
    message = r"(which is not a valid address|leads to an invalid address \(.*\): check the publisher's page)$"
    for url in (target, site.url("/x.zip")):
        with pytest.raises(DownloadError, match=message) as caught:
            get(url, path)
        assert "\n" not in str(caught.value)
        assert left(path) == []
    assert len(site.requests) == 1, "it is not tried again"


@pytest.mark.parametrize("length", ["x", "-1", "1.5", "9" * 5000, "1e6", " "])
def test_a_content_length_that_is_no_number(length: str, site: Any, path: Path) -> None:
    def reply(handler: Handler) -> None:
        answer(200, {"Content-Length": length, "Connection": "close"}, CONTENT)(handler)
        handler.close_connection = True

    site.replies["/x.zip"] = reply
    with suppress(DownloadError):
        assert get(site.url("/x.zip"), path) == SHA256
    assert not path.exists() or path.read_bytes() == CONTENT


@pytest.mark.parametrize("size", [1, 100, 10_000])
def test_a_server_that_drips(size: int, site: Any, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, but the whole would take days."""
    monkeypatch.setattr(download, "_RATE_SECONDS", 0.05)
    monkeypatch.setattr(download, "_MIN_BYTES_PER_SECOND", 10_000_000)

    def drip(handler: Handler) -> None:
        answer(200, {"Content-Length": "1000000", "ETag": '"1"'})(handler)
        for start in range(0, len(CONTENT), size):
            handler.wfile.write(CONTENT[start : start + size])
            time.sleep(0.02)

    site.replies["/x.zip"] = drip
    message = (
        r"x\.zip could not be downloaded \(too slow: \d+ bytes in \d+ seconds\); .* run the command again to resume"
    )
    with pytest.raises(DownloadError, match=message):
        get(site.url("/x.zip"), path)
    assert len(site.requests) == 1
    assert not path.exists()


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\nX-A: ", b"HTTP/1.1 200 OK\r\nX: 1\r\nX-", b"HTT"])
def test_headers_that_drip(start: bytes, site: Any, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_HEADER_SECONDS", 0.1)

    def drip(handler: Handler) -> None:
        handler.wfile.write(start)
        with suppress(OSError):
            for _ in range(1000):
                handler.wfile.write(b"a")
                time.sleep(0.02)

    site.replies["/x.zip"] = drip
    with pytest.raises(DownloadError, match=r"x\.zip could not be downloaded \(.*\); try later"):
        get(site.url("/x.zip"), path)
    assert left(path) == []


def test_redirects_in_a_circle(site: Any, path: Path) -> None:
    site.replies["/x.zip"] = answer(302, {"Location": "/x.zip", "Content-Length": "0"})
    with pytest.raises(
        DownloadError, match=r"x\.zip responds with 302 .*infinite loop.*: check the publisher's page"
    ) as error:
        get(site.url("/x.zip"), path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/x.zip", "x.zip"])
def test_addresses_that_are_none(url: str, path: Path) -> None:
    with pytest.raises(DownloadError, match=rf"{url}, which is not an http or https address"):
        get(url, path)
    with pytest.raises(DownloadError, match=r"http:///x\.zip, which is not a valid address"):
        get("http:///x.zip", path)


def test_a_file_that_says_to_be_too_large(site: Any, path: Path) -> None:
    site.files["/x.zip"] = CONTENT
    with pytest.raises(DownloadError, match=r"x\.zip is 1\.0 MB; the limit is 0\.5 MB"):
        get(site.url("/x.zip"), path, max_bytes=500_000)
    assert not path.exists()


def test_a_file_that_is_too_large_without_a_word(site: Any, path: Path) -> None:
    def endless(handler: Handler) -> None:
        answer(200, {"Connection": "close"})(handler)
        for _ in range(1000):
            handler.wfile.write(CONTENT)

    site.replies["/x.zip"] = endless
    with pytest.raises(DownloadError, match=r"x\.zip is larger than the limit of 3\.0 MB: it was deleted"):
        get(site.url("/x.zip"), path, max_bytes=3_000_000)
    assert left(path) == []


def test_a_file_that_does_not_fit_on_the_disk(site: Any, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.files["/x.zip"] = CONTENT
    usage = shutil.disk_usage(path.parent.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=500_000))
    with pytest.raises(DownloadError, match=r"x\.zip needs 1\.0 MB in .*sets, which has 0\.5 MB free"):
        get(site.url("/x.zip"), path)


@pytest.mark.parametrize(
    ("number", "kind", "message"),
    [
        (errno.ENOSPC, DiskFullError, "x.zip could not be written: the disk is full"),
        (errno.EACCES, WriteError, r"x\.zip could not be written \(Permission denied\): choose another folder, or ch"),
    ],
)
def test_a_disk_that_refuses(
    number: int, kind: type[Exception], message: str, site: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.files["/x.zip"] = CONTENT

    def refuse(*_: object) -> None:
        raise OSError(number, "Permission denied")

    monkeypatch.setattr(download._PartialFile, "publish", refuse)
    with pytest.raises(kind, match=message):
        get(site.url("/x.zip"), path)
    assert not path.exists()


def test_an_interrupted_download_keeps_the_received_part(
    site: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.files["/x.zip"] = CONTENT
    read = download._read

    def interrupt(response: Any) -> bytes:
        if response.length < 600_000:
            raise KeyboardInterrupt
        return read(response)

    with monkeypatch.context() as patch:
        patch.setattr(download, "_read", interrupt)
        with pytest.raises(KeyboardInterrupt):
            get(site.url("/x.zip"), path)
    assert not path.exists()
    assert get(site.url("/x.zip"), path) == SHA256
    assert re.fullmatch(r"bytes=[1-9]\d*-", site.requests[-1][1])


def test_progress_is_shown(site: Any, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.files["/x.zip"] = CONTENT
    shown: list[tuple[int, int | None]] = []

    class Bar:
        n = 0
        total: int | None = None

        def __init__(self, **settings: Any) -> None:
            assert settings["desc"] == "x.zip"
            assert settings["disable"] is None

        def __enter__(self) -> "Bar":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def update(self, count: int) -> None:
            self.n += count
            shown.append((self.n, self.total))

    monkeypatch.setattr(download, "tqdm", Bar)
    fetch(site.url("/x.zip"), path)
    assert shown[-1] == (1_000_000, 1_000_000)
    assert len(shown) > 3
