"""Fetching one file over HTTP: with progress, going on where it broke off, checked, and named only when whole.

The standard library's client does it: of the libraries at hand none both goes on with a broken transfer and checks what
came against a hash.
"""

import hashlib
import http.client
import json
import os
import shutil
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import IO, Any

from tqdm.auto import tqdm

from acsnet._utils.files import explain_os_error, whole_file
from acsnet.errors import AcsnetError, DownloadError
from acsnet.version import __version__

MAX_BYTES = 4 * 10**9
_CHUNK = 1 << 18
_TIMEOUT_SECONDS = 60
# Attempts in a row that bring nothing, and attempts in all; the pause before one doubles.
_FRUITLESS = 4
_ATTEMPTS = 50
_PAUSE_SECONDS = 1.0
# Answers that may be others a moment later.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class _BrokenOffError(Exception):
    """A transfer that may go on when tried again."""


def fetch(url: str, path: Path, sha256: str = "", max_bytes: int = MAX_BYTES, progress: bool = True) -> str:
    """Fetch a file.

    What came of a transfer that broke off is kept beside ``path`` under a hidden name, and gone on with: at once a few
    times, and by the next call. It is begun anew where the server has another file meanwhile, or cannot go on.

    Args:
        url: its address, http or https.
        path: where it goes.
        sha256: what its SHA-256 has to be, in hexadecimal digits; "" where that is not known.
        max_bytes: the size above which it is refused.
        progress: show a progress bar.

    Returns:
        The SHA-256 of the file, in hexadecimal digits.

    Raises:
        DownloadError: for an address that does not answer, redirects elsewhere than to http(s) or away from https, or
            breaks off again and again; for a file that is too large for ``max_bytes`` or the disk, or whose SHA-256 is
            another. Nothing is left under ``path``.
        DiskFullError: where there is no space left.
    """
    _check_scheme(url)
    part = _Part(path, url, checked=bool(sha256))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tqdm(desc=path.name, unit="B", unit_scale=True, disable=None if progress else True) as bar:
            _fetch_part(url, part, max_bytes, bar)
        digest = file_sha256(part.path)
        if sha256 and digest != sha256.lower():
            part.remove()
            raise DownloadError(
                f"{url} is not the file that is expected: its SHA-256 is {digest}, not {sha256.lower()}; it was not "
                "kept. Try again, and look at the publisher's page if it stays so"
            )
        part.publish()
    except OSError as error:
        raise explain_write_error(error, path) from error
    return digest


def explain_write_error(error: OSError, path: Path) -> Exception:
    """Turn what went wrong while writing below ``path`` into one line."""
    explained = explain_os_error(error, path)
    if isinstance(explained, AcsnetError):
        return explained
    return DownloadError(f"{path} could not be written ({_one_line(error.strerror or error)}): choose another folder")


def file_sha256(path: Path) -> str:
    """Give the SHA-256 of a file in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class _Part:
    """What has come of a file so far, and what it is known by to the server."""

    def __init__(self, path: Path, url: str, checked: bool) -> None:
        self._final = path
        self._url = url
        self._checked = checked
        self.path = path.with_name(f".{path.name}.part")
        self._notes = path.with_name(f".{path.name}.part.json")
        self.validator = self._read_validator()

    def _read_validator(self) -> str:
        try:
            notes = json.loads(self._notes.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return ""
        return str(notes.get("validator", "")) if isinstance(notes, dict) and notes.get("url") == self._url else ""

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def can_go_on(self) -> bool:
        """Whether somebody can tell that the rest belongs to what came: the server now, or the checksum in the end."""
        return self.size > 0 and bool(self.validator or self._checked)

    def note(self, headers: http.client.HTTPMessage) -> None:
        """Keep what tells this file from a later one of the same address: a strong ETag, or else the date."""
        tag = headers.get("ETag", "")
        self.validator = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")
        with whole_file(self._notes) as temporary:
            temporary.write_text(json.dumps({"url": self._url, "validator": self.validator}), encoding="utf-8")

    def restart(self) -> None:
        self.path.unlink(missing_ok=True)

    def remove(self) -> None:
        self.restart()
        self._notes.unlink(missing_ok=True)

    def publish(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(self.path, self._final)
        self._notes.unlink(missing_ok=True)


def _fetch_part(url: str, part: _Part, max_bytes: int, bar: Any) -> None:
    """Try until the part is whole."""
    fruitless = 0
    for _ in range(_ATTEMPTS):
        before = part.size
        try:
            return _attempt(url, part, max_bytes, bar)
        except _BrokenOffError as error:
            reason = error
        fruitless = 0 if part.size > before else fruitless + 1
        if fruitless >= _FRUITLESS:
            break
        time.sleep(_PAUSE_SECONDS * 2**fruitless)
    came = f"{_megabytes(part.size)} that came are kept: run the command again to go on" if part.size else "try later"
    raise DownloadError(f"{url} could not be fetched ({reason}); {came}")


def _attempt(url: str, part: _Part, max_bytes: int, bar: Any) -> None:
    try:
        response = _open(url, part)
    except urllib.error.HTTPError as error:
        return _take_refusal(url, part, error)
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            reason = error.reason.verify_message
            raise DownloadError(f"{url} has no certificate that can be trusted ({reason}): not fetched") from error
        raise _BrokenOffError(_one_line(error.reason)) from error
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOffError(_one_line(error)) from error
    with response:
        total = _begin(response, part)
        _check_space(url, part, total, max_bytes)
        bar.total = total
        bar.update(part.size - bar.n)
        _copy(url, response, part, max_bytes, bar)
    if total is not None and part.size != total:
        raise _BrokenOffError(f"{part.size} of {total} bytes came")


def _open(url: str, part: _Part) -> Any:
    # Compressed on the way, a file would have another size than the server says.
    headers = {"User-Agent": f"acsnet/{__version__}", "Accept-Encoding": "identity"}
    if part.can_go_on:
        headers["Range"] = f"bytes={part.size}-"
        if part.validator:
            headers["If-Range"] = part.validator
    opener = urllib.request.build_opener(_CheckedRedirects)
    return opener.open(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT_SECONDS)


def _take_refusal(url: str, part: _Part, error: urllib.error.HTTPError) -> None:
    """Make sense of an answer that is no file; a part that is whole already is none."""
    error.close()
    if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and part.size:
        if error.headers.get("Content-Range", "") == f"bytes */{part.size}":
            return
        part.restart()
        raise _BrokenOffError("it has another size now")
    reason = f"{error.code} {_one_line(error.reason)}"
    if error.code in _PASSING:
        raise _BrokenOffError(reason) from error
    raise DownloadError(f"{url} answers {reason}: look at the publisher's page") from error


def _begin(response: Any, part: _Part) -> int | None:
    """Bring the part to where the answer begins, and give the size that the file will have, where that is told."""
    length = response.headers.get("Content-Length", "")
    rest = int(length) if length.isdecimal() else None
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        if not response.headers.get("Content-Range", "").startswith(f"bytes {part.size}-"):
            part.restart()
            raise _BrokenOffError("it went on elsewhere than asked")
        return None if rest is None else part.size + rest
    part.restart()
    part.note(response.headers)
    return rest


def _check_space(url: str, part: _Part, total: int | None, max_bytes: int) -> None:
    if total is not None and total > max_bytes:
        raise DownloadError(f"{url} says to have {_megabytes(total)}, more than the {_megabytes(max_bytes)} allowed")
    free = shutil.disk_usage(part.path.parent).free
    if total is not None and total - part.size > free:
        raise DownloadError(
            f"{url} needs {_megabytes(total - part.size)} in {part.path.parent}, which has {_megabytes(free)} free"
        )


def _copy(url: str, response: Any, part: _Part, max_bytes: int, bar: Any) -> None:
    size = part.size
    with part.path.open("ab") as file:
        while chunk := _read(response):
            size += len(chunk)
            if size > max_bytes:
                part.remove()
                raise DownloadError(f"{url} has more than the {_megabytes(max_bytes)} allowed: it was not kept")
            file.write(chunk)
            bar.update(len(chunk))


def _read(response: Any) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOffError(_one_line(error)) from error


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http(s), and never from https to http."""

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


def _check_scheme(url: str, came_from: str = "") -> None:
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme not in ("http", "https"):
        raise DownloadError(f"{came_from + ' redirects to ' if came_from else ''}{url}, which is no web address")
    if scheme == "http" and came_from.startswith("https:"):
        raise DownloadError(f"{came_from} redirects to {url}, which is not encrypted: it was not followed")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _one_line(reason: object) -> str:
    return " ".join(str(reason).split()) or type(reason).__name__
