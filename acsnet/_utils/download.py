"""Download of one file over HTTP, with progress, resuming and a checksum; the file appears only when complete.

It uses the client of the standard library, because none of the installed libraries both resumes interrupted downloads
and verifies a hash.
"""

import hashlib
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from tqdm.auto import tqdm

from acsnet._utils.files import explain_write_error, whole_file
from acsnet._utils.json_text import parse_json
from acsnet._utils.printable import printable, shorten
from acsnet._utils.reading import read_text
from acsnet.errors import DownloadError
from acsnet.version import __version__

MAX_BYTES = 4 * 10**9
_CHUNK = 1 << 18
# Longest silence of a server, longest time until its headers are complete, and time over which its rate is measured.
_TIMEOUT_SECONDS = 60
_HEADER_SECONDS = 120
_RATE_SECONDS = 60
_MIN_BYTES_PER_SECOND = 1000
# Attempts in a row without any received bytes; the pause before each doubles.
_MAX_ATTEMPTS_WITHOUT_PROGRESS = 4
_MAX_ATTEMPTS = 50
_PAUSE_SECONDS = 1.0
# HTTP status codes of temporary errors.
_TEMPORARY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


class _InterruptedError(Exception):
    """An interruption after which the download can be retried."""


def fetch(url: str, path: Path, sha256: str = "", max_bytes: int = MAX_BYTES, progress: bool = True) -> str:
    """Download a file.

    An interrupted download is kept in a hidden file next to ``path`` and resumed: immediately a few times, then by the
    next call. It restarts if the file has changed on the server, or the server cannot resume.

    Args:
        url: the address, http or https.
        path: the path of the downloaded file.
        sha256: the expected SHA-256 in hexadecimal digits, or "" if unknown.
        max_bytes: the largest accepted size.
        progress: show a progress bar.

    Returns:
        The SHA-256 of the file in hexadecimal digits.

    Raises:
        DownloadError: if the address is invalid, does not respond, sends less than 1 kB per second, redirects to
            another protocol or from https to http, or is interrupted repeatedly; if the file exceeds ``max_bytes`` or
            the free disk space, or its SHA-256 differs. ``path`` does not exist then.
        DiskFullError: if the disk is full.
    """
    _check_scheme(url)
    part = _PartialFile(path, url, checked=bool(sha256))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tqdm(desc=printable(path.name), unit="B", unit_scale=True, disable=None if progress else True) as bar:
            _fetch_all(url, part, max_bytes, bar)
        digest = file_sha256(part.path)
        if sha256 and digest != sha256.lower():
            part.remove()
            raise DownloadError(
                f"{url} is not the expected file: its SHA-256 is {digest}, not {sha256.lower()}; it was deleted. "
                "Try again, and check the publisher's page if this repeats"
            )
        part.publish()
    except OSError as error:
        raise explain_write_error(error, path) from error
    return digest


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class _PartialFile:
    """The received part of a file, with the validator by which the server identifies the file."""

    def __init__(self, path: Path, url: str, checked: bool) -> None:
        self._final = path
        self._url = url
        self._checked = checked
        self.path = path.with_name(f".{path.name}.part")
        self._validator_file = path.with_name(f".{path.name}.part.json")
        self.validator = self._read_validator()

    def _read_validator(self) -> str:
        try:
            saved = parse_json(read_text(self._validator_file))
        except (OSError, ValueError):
            return ""
        return str(saved.get("validator", "")) if isinstance(saved, dict) and saved.get("url") == self._url else ""

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def can_resume(self) -> bool:
        """Whether a mismatch of the rest would be noticed, by the server or by the checksum."""
        return self.size > 0 and bool(self.validator or self._checked)

    def save_validator(self, headers: http.client.HTTPMessage) -> None:
        """Save the strong ETag, or the date, that identifies this version of the file."""
        tag = headers.get("ETag", "")
        self.validator = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")
        with whole_file(self._validator_file) as temporary:
            temporary.write_text(json.dumps({"url": self._url, "validator": self.validator}), encoding="utf-8")

    def restart(self) -> None:
        self.path.unlink(missing_ok=True)

    def remove(self) -> None:
        self.restart()
        self._validator_file.unlink(missing_ok=True)

    def publish(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(self.path, self._final)
        self._validator_file.unlink(missing_ok=True)


def _fetch_all(url: str, part: _PartialFile, max_bytes: int, bar: Any) -> None:
    """Retry until the file is complete."""
    without_progress = 0
    for _ in range(_MAX_ATTEMPTS):
        before = part.size
        try:
            _attempt(url, part, max_bytes, bar)
            return
        except _InterruptedError as error:
            reason = error
        without_progress = 0 if part.size > before else without_progress + 1
        if without_progress >= _MAX_ATTEMPTS_WITHOUT_PROGRESS:
            break
        time.sleep(_PAUSE_SECONDS * 2**without_progress)
    raise _could_not(url, part, reason)


def _could_not(url: str, part: _PartialFile, reason: object) -> DownloadError:
    remedy = f"{_megabytes(part.size)} were received: run the command again to resume" if part.size else "try later"
    return DownloadError(f"{url} could not be downloaded ({reason}); {remedy}")


def _attempt(url: str, part: _PartialFile, max_bytes: int, bar: Any) -> None:
    try:
        response = _open(url, part)
    except urllib.error.HTTPError as error:
        _handle_status(url, part, error)
        return
    except (http.client.InvalidURL, ValueError) as error:
        # Of a redirect, or with a host name that no name server can have.
        raise DownloadError(
            f"{url} leads to an invalid address ({shorten(_one_line(error))}): check the publisher's page"
        ) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            reason = error.reason.verify_message
            raise DownloadError(f"{url} has no trusted certificate ({reason}): it was not downloaded") from error
        raise _InterruptedError(_one_line(error.reason)) from error
    except (OSError, http.client.HTTPException) as error:
        raise _InterruptedError(_one_line(error)) from error
    with response:
        total = _prepare(response, part)
        _check_space(url, part, total, max_bytes)
        bar.total = total
        bar.update(part.size - bar.n)
        _copy(url, response, part, max_bytes, bar)
    if total is not None and part.size != total:
        raise _InterruptedError(f"received {part.size} of {total} bytes")


def _open(url: str, part: _PartialFile) -> Any:
    # With compression the size would differ from the Content-Length of the file.
    headers = {"User-Agent": f"acsnet/{__version__}", "Accept-Encoding": "identity"}
    if part.can_resume:
        headers["Range"] = f"bytes={part.size}-"
        if part.validator:
            headers["If-Range"] = part.validator
    opener = urllib.request.build_opener(_CheckedRedirects, _HTTPHandler, _HTTPSHandler)
    return opener.open(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT_SECONDS)


def _handle_status(url: str, part: _PartialFile, error: urllib.error.HTTPError) -> None:
    """Raise the error of an HTTP status, unless it means that the file is already complete."""
    error.close()
    if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and part.size:
        if error.headers.get("Content-Range", "") == f"bytes */{part.size}":
            return
        part.restart()
        raise _InterruptedError("the size of the file has changed")
    reason = f"{error.code} {_one_line(error.reason)}"
    if error.code in _TEMPORARY_STATUSES:
        raise _InterruptedError(reason) from error
    raise DownloadError(f"{url} responds with {reason}: check the publisher's page") from error


def _prepare(response: Any, part: _PartialFile) -> int | None:
    """Truncate the partial file to the start of the response, and return the size of the file, if known."""
    length = response.headers.get("Content-Length", "")
    rest = int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        if not response.headers.get("Content-Range", "").startswith(f"bytes {part.size}-"):
            part.restart()
            raise _InterruptedError("the server resumed at a wrong position")
        return None if rest is None else part.size + rest
    part.restart()
    part.save_validator(response.headers)
    return rest


def _check_space(url: str, part: _PartialFile, total: int | None, max_bytes: int) -> None:
    if total is not None and total > max_bytes:
        raise DownloadError(f"{url} is {_megabytes(total)}; the limit is {_megabytes(max_bytes)}")
    free = shutil.disk_usage(part.path.parent).free
    if total is not None and total - part.size > free:
        raise DownloadError(
            f"{url} needs {_megabytes(total - part.size)} in {part.path.parent}, which has {_megabytes(free)} free"
        )


def _copy(url: str, response: Any, part: _PartialFile, max_bytes: int, bar: Any) -> None:
    size = part.size
    start, since = size, time.monotonic()
    with part.path.open("ab") as file:
        while chunk := _read(response):
            size += len(chunk)
            if size > max_bytes:
                part.remove()
                raise DownloadError(f"{url} is larger than the limit of {_megabytes(max_bytes)}: it was deleted")
            file.write(chunk)
            bar.update(len(chunk))
            seconds = time.monotonic() - since
            if seconds >= _RATE_SECONDS:
                if size - start < seconds * _MIN_BYTES_PER_SECOND:
                    file.flush()
                    raise _could_not(url, part, f"too slow: {size - start} bytes in {seconds:.0f} seconds")
                start, since = size, time.monotonic()


def _read(response: Any) -> bytes:
    try:
        # What is there, rather than a whole chunk: the rate is measured in between.
        return response.read1(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _InterruptedError(_one_line(error)) from error


class _TimedHeaders:
    """Part of a connection that hangs up if the headers of a response do not end.

    The timeout of a socket restarts with every received byte.
    """

    sock: socket.socket | None
    _is_cut = False

    def getresponse(self) -> http.client.HTTPResponse:
        """Return the response with its headers."""
        timer = threading.Timer(_HEADER_SECONDS, self._hang_up)
        timer.daemon = True
        timer.start()
        try:
            response: http.client.HTTPResponse = super().getresponse()  # type: ignore[misc]
        finally:
            timer.cancel()
        # Headers that are cut off look complete.
        if self._is_cut:
            response.close()
            raise TimeoutError(f"its headers took more than {_HEADER_SECONDS} seconds")
        return response

    def _hang_up(self) -> None:
        self._is_cut = True
        with suppress(OSError):
            if self.sock is not None:
                self.sock.shutdown(socket.SHUT_RDWR)


class _HTTPConnection(_TimedHeaders, http.client.HTTPConnection):
    pass


class _HTTPSConnection(_TimedHeaders, http.client.HTTPSConnection):
    pass


class _HTTPHandler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_HTTPConnection, req)


class _HTTPSHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_HTTPSConnection, req)


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """Redirect handler that follows only http(s), and never from https to http."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        _check_scheme(newurl, req.full_url)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_scheme(url: str, origin: str = "") -> None:
    redirect = f"{origin} redirects to " if origin else ""
    try:
        parts = urllib.parse.urlsplit(url)
        is_valid = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        raise DownloadError(f"{redirect}{shorten(url)}, which is not a valid address") from None
    if parts.scheme not in ("http", "https"):
        raise DownloadError(f"{redirect}{shorten(url)}, which is not an http or https address")
    if not is_valid:
        raise DownloadError(f"{redirect}{shorten(url)}, which is not a valid address")
    if parts.scheme == "http" and origin.startswith("https:"):
        raise DownloadError(f"{origin} redirects to {url}, which is not encrypted: the redirect was not followed")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _one_line(reason: object) -> str:
    return " ".join(str(reason).split()) or type(reason).__name__
