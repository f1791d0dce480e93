"""The page in a real browser: what a visitor does, and that no other host is asked."""

import csv
import importlib.util
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from acsnet.app import Networks, PageServer, limits, server
from acsnet.app.texts import NOTICE

if importlib.util.find_spec("playwright") is None:
    pytest.skip("playwright is not installed", allow_module_level=True)
from playwright.sync_api import Download, Page, expect, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
MAX_BYTES = 300_000
MAX_UPLOAD_BYTES = 400_000
WAIT_MILLISECONDS = 60_000


@pytest.fixture(scope="module")
def page_server(tiny_checkpoint: Path) -> Iterator[Any]:
    """The page with the tiny network in this process; other hosts are out of reach, and each attempt is recorded."""
    asked: list[object] = []
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1"):
            asked.append(address)
            raise OSError("the test has no network")
        connect(self, address)

    def guarded_look_up(host: Any, *arguments: Any, **others: Any) -> Any:
        if host not in (None, "127.0.0.1", "localhost", "::1"):
            asked.append(host)
            raise socket.gaierror("the test has no network")
        return look_up(host, *arguments, **others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket, "getaddrinfo", guarded_look_up)
        patch.setattr(limits, "MAX_FILE_BYTES", MAX_BYTES)
        patch.setattr(server, "MAX_UPLOAD_BYTES", MAX_UPLOAD_BYTES)
        networks = Networks(str(tiny_checkpoint), "cpu")
        page = PageServer(networks, port=0)
        thread = threading.Thread(target=page.run, daemon=True)
        thread.start()
        yield SimpleNamespace(address=page.address, asked=asked, network=networks.load(networks.names[0]), page=page)
        page.stop()
        thread.join(30)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as playwright:
        named = os.environ.get("ACSNET_BROWSER")
        own = playwright.chromium.executable_path
        path = named or next(filter(None, map(shutil.which, BROWSERS)), own if Path(own).is_file() else None)
        if path is None:
            pytest.skip("no browser: install Chromium, or name one by ACSNET_BROWSER (make test-app installs one)")
        opened = playwright.chromium.launch(executable_path=path, args=OPTIONS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def visit(page_server: Any, browser: Any) -> Iterator[Any]:
    """A page that a visitor keeps open, and the addresses that it asked for."""
    page = browser.new_page(viewport={"width": 1300, "height": 900})
    page.set_default_timeout(WAIT_MILLISECONDS)
    expect.set_options(timeout=WAIT_MILLISECONDS)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(page_server.address)
    yield SimpleNamespace(page=page, requests=requests)
    page.close()


@pytest.fixture
def page(visit: Any) -> Page:
    """The page, without uploaded files."""
    if visit.page.locator("#images .file").count():
        visit.page.click("#images button[aria-label=Clear]")
    expect(visit.page.locator("#images input[type=file]")).to_have_count(1)
    found: Page = visit.page
    return found


def analyze(page: Page, *files: Path) -> None:
    page.set_input_files("#images input[type=file]", [str(file) for file in files])
    expect(page.locator("#images .file")).to_have_count(len(files))
    page.click("#analyze")


def fetch(page: Page, kind: str, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.click(f"#get-{kind}")
    download: Download = waiting.value
    path = folder / download.suggested_filename
    download.save_as(path)
    return path


def test_an_image_and_its_results(page: Page, page_server: Any, image: Path, tmp_path: Path) -> None:
    analyze(page, image)
    rows = page.locator("#table tbody tr")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("image.png")
    for name in ("outline", "explanation", "uncertainty", "image"):
        expect(page.locator(f"#{name} img")).to_be_visible()
        label = page.locator(f"#{name} [data-testid=block-label]").bounding_box()
        picture = page.locator(f"#{name} img").bounding_box()
        assert label is not None
        assert picture is not None
        assert label["y"] + label["height"] <= picture["y"], "the label is not on the picture"
    for attribute in ("title", "aria-label"):
        assert page.locator(f"[{attribute}^='common.']").count() == 0, "Gradio lacks no text"
    assert "common." not in page.locator("body").inner_text()
    expect(page.locator("#summary .bars tr")).to_have_count(3)
    expect(page.get_by_text(NOTICE).first).to_be_visible()

    runs: list[int] = []
    handle = page_server.network.predictor.model.register_forward_hook(lambda *_: runs.append(1))
    try:
        page.fill("#threshold input[type=number]", "0.3")
        page.keyboard.press("Enter")
        expect(page.locator("#summary")).to_contain_text("at the threshold 0.30")
        page.click("#choice input")
        page.get_by_role("option", name="sensitivity_90").click()
        expect(page.locator("#summary")).to_contain_text("at sensitivity_90: malignant from 0.0 %")
        expect(page.locator("#summary .verdict strong")).to_have_text("malignant")
        expect(page.locator("#summary")).to_contain_text("at the threshold 0.40")
    finally:
        handle.remove()
    assert runs == [], "a threshold needs no network"

    with Image.open(fetch(page, "mask", tmp_path)) as mask:
        assert (mask.size, mask.info["Comment"]) == ((128, 96), NOTICE)
        assert {*np.unique(np.asarray(mask))} <= {0, 255}
        area = int((np.asarray(mask) > 0).sum())
    with Image.open(fetch(page, "overlay", tmp_path)) as overlay:
        assert overlay.size == (128, 96 + 40)
    with fetch(page, "table", tmp_path).open(newline="", encoding="utf-8") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["image"], row["predicted"], row["operating_point"]) == ("image.png", "malignant", "sensitivity_90")
    assert float(row["lesion_area_px"]) <= area
    assert row["note"] == NOTICE
    exported = fetch(page, "page", tmp_path)
    assert exported.name == "image.html"
    other = page.context.browser.new_page()
    other.goto(exported.as_uri())
    expect(other.locator("h1")).to_have_text("image.png")
    sheets = other.pdf(format="A4")
    assert sheets.count(b"/Type /Page\n") == 1, "it prints on one sheet"
    other.close()


def test_millimeters_per_pixel(page: Page, image: Path, tmp_path: Path) -> None:
    page.fill("#spacing input", "0,08")
    analyze(page, image)
    expect(page.locator("#problems")).to_contain_text("the spacing '0,08' is not millimeters per pixel")
    page.fill("#spacing input", "0.5, 0.1")
    page.click("#analyze")
    expect(page.locator("#problems [role=alert]")).to_have_count(0)
    expect(page.locator("#summary")).to_contain_text("width (mm)")
    with fetch(page, "table", tmp_path).open(newline="", encoding="utf-8") as stream:
        (row,) = csv.DictReader(stream)
    assert row["spacing"] == "0.5;0.1"
    assert float(row["lesion_width_mm"]) == pytest.approx(float(row["lesion_width_px"]) * 0.1, rel=0.01)
    page.fill("#spacing input", "")


def test_bad_input_is_one_sentence_and_nothing_is_lost(page: Page, image: Path, tmp_path: Path) -> None:
    analyze(page, image)
    expect(page.locator("#table tbody tr")).to_have_count(1)
    problems = page.locator("#problems [role=alert]")

    page.click("#images button[aria-label=Clear]")
    page.click("#analyze")
    expect(problems).to_contain_text("there is no image: drop one or several on the page")
    broken = tmp_path / "broken.png"
    broken.write_bytes(image.read_bytes()[:2000])
    analyze(page, broken)
    expect(problems).to_contain_text("broken.png cannot be read as an image")
    assert problems.locator("p").count() == 1
    expect(page.locator("#table tbody tr")).to_contain_text("image.png")

    page.click("#images button[aria-label=Clear]")
    large = tmp_path / "large.png"
    large.write_bytes(bytes(MAX_BYTES + 1))
    analyze(page, large, image)
    expect(problems).to_contain_text("large.png has 0 MB, and the page takes files of up to 0 MB")
    expect(page.locator("#table tbody tr")).to_have_count(1)

    page.click("#images button[aria-label=Clear]")
    larger = tmp_path / "larger.png"
    larger.write_bytes(bytes(MAX_UPLOAD_BYTES + 1))
    page.set_input_files("#images input[type=file]", str(larger))
    expect(page.get_by_text("maximum allowed size").first).to_be_visible()
    page.set_input_files("#images input[type=file]", [str(image), str(image)])
    expect(page.locator("#images .file")).to_have_count(2)
    page.click("#analyze")
    expect(page.locator("#table tbody tr")).to_have_count(2)
    expect(problems).to_have_count(0)


def test_ten_images(page: Page, image: Path, tmp_path: Path, write_cine: Callable[..., Path]) -> None:
    files = [tmp_path / f"image {number}.png" for number in range(9)]
    for file in files:
        shutil.copy(image, file)
    notes = tmp_path / "notes.txt"
    notes.write_text("no image")
    analyze(page, *files, write_cine(tmp_path / "cine.dcm"), notes)
    rows = page.locator("#table tbody tr")
    expect(rows).to_have_count(10)
    expect(page.locator("#problems")).to_contain_text("notes.txt cannot be read as an image")
    expect(page.locator("#frame")).to_be_hidden()

    page.click("#shown input")
    page.get_by_role("option", name="cine.dcm").click()
    expect(page.locator("#table .shown")).to_contain_text("cine.dcm")
    expect(page.locator("#summary")).to_contain_text("width (mm)")
    page.fill("#frame input[type=number]", "2")
    page.keyboard.press("Enter")
    expect(page.locator("#table .shown")).to_contain_text("cine.dcm, frame 2")
    page.fill("#threshold input[type=number]", "0.3")
    page.keyboard.press("Enter")
    expect(page.locator("#summary")).to_contain_text("at the threshold 0.30")
    expect(page.locator("#problems")).to_contain_text("notes.txt cannot be read as an image")
    with fetch(page, "table", tmp_path).open(newline="", encoding="utf-8") as stream:
        table = [*csv.DictReader(stream)]
    assert [row["frame"] for row in table] == [""] * 9 + ["2"]
    hint = "getComputedStyle(document.querySelector('#table .scroll'), '::before').content"
    assert page.evaluate(hint) == "none"
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate(hint) == '"More columns to the right"'
    assert page.evaluate("document.documentElement.scrollWidth") <= 400, "only tables scroll sideways"
    page.set_viewport_size({"width": 1300, "height": 900})


def test_a_pasted_image_and_an_example(page: Page, image: Path) -> None:
    page.evaluate(
        """(bytes) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(bytes)], "pasted.png", { type: "image/png" }));
          document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true }));
        }""",
        [*image.read_bytes()],
    )
    expect(page.locator("#images .file")).to_contain_text("pasted")
    page.click("#analyze")
    expect(page.locator("#table tbody tr")).to_have_count(1)
    expect(page.locator("#table tbody tr")).to_contain_text("pasted.png")
    page.locator("#examples img").first.click()
    expect(page.locator("#table tbody tr")).to_contain_text("benign phantom.png")


def test_no_other_host_and_no_file_of_this_machine(visit: Any, page_server: Any, tiny_checkpoint: Path) -> None:
    hosts = {address.split("/")[2] for address in visit.requests if not address.startswith(("data:", "blob:"))}
    assert hosts == {page_server.address.removeprefix("http://")}
    assert page_server.asked == []
    request = visit.page.request
    answer = request.get(page_server.address)
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert request.get(page_server.address, headers={"Host": "evil.example"}).status == 400
    for place in (tiny_checkpoint, "/etc/hostname"):
        assert request.get(f"{page_server.address}/gradio_api/file={place}").status in (403, 404)
    assert request.get(f"{page_server.address}/gradio_api/info").json()["named_endpoints"] == {}


def test_uploaded_files_are_removed_at_the_end(page: Page, page_server: Any, image: Path) -> None:
    analyze(page, image)
    folder = Path(os.environ["GRADIO_TEMP_DIR"]).parent
    assert [*folder.rglob("image.png")]
    page_server.page.stop()
    end = time.monotonic() + 30
    while folder.exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert not folder.exists()
