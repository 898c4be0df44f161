"""The site that an export writes: its files, and what a person does with it in Chromium."""

import base64
import functools
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

pytest.importorskip("selenium")
pytest.importorskip("onnxruntime", reason="ONNX is an optional extra")
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from fast_style import export as formats
from fast_style.errors import UserError
from fast_style.export import onnx_file, web_site
from fast_style.export.web_site import export_site
from fast_style.pictures.images import Picture, read_picture, write_picture
from fast_style.stylize.stylizer import Stylizer
from tests.chromium import (
    assert_all_named,
    assert_fits,
    needs_chromium,
    painted,
    says,
    screen,
    shown_pixels,
    start,
    the,
    upload,
    wait,
)
from tests.conftest import NAMES, Photo


def exported(model: Path, output: Path, **options: Any) -> Path:
    """A site in the folder `output`, with files in place of ONNX Runtime Web."""
    archive = output.with_name(f"{output.name}.tgz")
    with tarfile.open(archive, "w:gz") as tar:
        for member in web_site.RUNTIME.values():
            info = tarfile.TarInfo(f"package/dist/{member}")
            info.size = len(member)
            tar.addfile(info, io.BytesIO(member.encode()))
    sha512 = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(formats, "SIZES", ((20, 12),))
        monkeypatch.setattr(web_site, "INTEGRITY", f"sha512-{sha512}")
        found = export_site([model], output, archive=archive, **options)
    assert all(one.largest_difference <= 1 for each in found.values() for one in each)
    return output


@pytest.fixture(scope="module")
def folder(several: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of a model of three styles, without ONNX Runtime Web."""
    return exported(several, tmp_path_factory.mktemp("web") / "site")


@pytest.fixture(scope="module")
def site(several: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of a model of three styles, as it paints in a browser."""
    output = tmp_path_factory.mktemp("web") / "site"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(formats, "SIZES", ((20, 12),))
        try:
            found = export_site([several], output)
        except UserError as error:
            if "cannot be fetched" not in str(error):
                raise
            pytest.skip(f"{web_site.ARCHIVE} is not kept here, and npm cannot be reached")
    assert list(found) == NAMES
    assert list(output.parent.iterdir()) == [output]
    return output


# The folder


def test_the_site_is_complete(folder: Path) -> None:
    html = (folder / "index.html").read_text(encoding="utf-8")
    assert "server" not in html and "own" not in re.findall(r'id="([^"]*)"', html)
    named = re.findall(r'(?:src|href)="([^"]+)"', html)
    named += [icon["src"] for icon in json.loads((folder / "manifest.json").read_text())["icons"]]
    named += re.findall(r'"(?:\./)?(onnxruntime/[^"]+)"', (folder / "painter.js").read_text())
    shell = json.loads(
        re.findall(r"^const SHELL = (.*);$", (folder / "service_worker.js").read_text(), re.M)[0]
    )
    for style in json.loads((folder / "styles.json").read_text()):
        assert style["sample"] in shell and style["network"] not in shell
        named += [style["sample"], style["network"]]
    assert len(named) > 12
    for name in [*named, *shell]:
        assert (folder / unquote(name)).exists(), name
    assert "Microsoft" in (folder / "onnxruntime" / "LICENSE").read_text()
    assert "fast-style" in (folder / "LICENSE").read_text()
    assert (folder / "onnxruntime" / "ThirdPartyNotices.txt").stat().st_size > 10_000


def test_the_networks_are_those_of_the_styles(
    folder: Path, several: Path, photo: Photo, tmp_path: Path
) -> None:
    rgb = photo(30, 40)
    for name in NAMES:
        packed = (folder / "networks" / f"{name}.onnx.gz").read_bytes()
        (tmp_path / "network.onnx").write_bytes(gzip.decompress(packed))
        stylized = onnx_file.load(tmp_path / "network.onnx", "uint8")(rgb[None])[0]
        wanted = Stylizer(several, "tensorflow", "float32", style=name)(rgb)
        assert np.abs(stylized.astype(int) - wanted).max() <= 1
        assert read_picture(folder / "samples" / f"{name}.jpg").rgb.std() > 5


def test_another_network_is_another_version(folder: Path, several: Path, tmp_path: Path) -> None:
    versions = set()
    for number, style in enumerate([NAMES[0], f"{NAMES[0]}=0.5,{NAMES[1]}=0.5", NAMES[0]]):
        output = exported(several, tmp_path / str(number), style=style, half=True)
        [network] = (output / "networks").glob("*.gz")
        versions.add((output / "service_worker.js").read_text().splitlines()[0])
    assert len(versions) == 2
    whole = folder / "networks" / f"{NAMES[0]}.onnx.gz"
    assert network.name == f"several-{NAMES[0]}.onnx.gz"
    assert network.stat().st_size < 0.7 * whole.stat().st_size


def test_what_a_site_cannot_be_made_of_is_said_before_any_work(
    several: Path, any_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(web_site, "URL", "http://127.0.0.1:1/onnxruntime-web.tgz")
    (tmp_path / "other.tgz").write_bytes(b"no archive")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    here = {"archive": tmp_path / "other.tgz"}
    for models, output, options, said in [
        ([several], "site", {}, r"cannot be fetched .*; download it elsewhere, and name the file "),
        ([several], "site", here, r"--onnxruntime-web .*other.tgz: is not onnxruntime-web-1"),
        ([several, several], "site", {}, f"there is another style '{NAMES[0]}' for the site"),
        ([any_model], "site", {}, "--format web: only onnx takes the style image as an input"),
        ([several], "mine", here, "exists already; name a new one"),
    ]:
        with pytest.raises(UserError, match=said):
            export_site(models, tmp_path / output, **options)
    assert {path.name for path in tmp_path.iterdir()} == {"other.tgz", "mine"}


# The page


class Host(SimpleHTTPRequestHandler):
    """Any file host. `says_gzip`: one that lets browsers unpack .gz."""

    says_gzip = False

    def end_headers(self) -> None:
        if self.says_gzip and self.path.endswith(".gz"):
            self.send_header("Content-Encoding", "gzip")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def hosting(folder: Path, host: type[Host] = Host) -> Iterator[str]:
    """Hosts a site in a folder of the host, as project pages are. Yields its URL."""
    handler = functools.partial(host, directory=str(folder.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/{folder.name}/"
        finally:
            server.shutdown()


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with hosting(site) as address:
        yield address


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(downloads: Path) -> Iterator[webdriver.Chrome]:
    camera = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with start(downloads, *camera) as browser:
        yield browser


@pytest.fixture
def page(browser: webdriver.Chrome, address: str) -> webdriver.Chrome:
    visit(browser, address)
    return browser


def visit(browser: webdriver.Chrome, address: str) -> None:
    """Opens the page, which loads itself once more at the first visit."""
    browser.get(address)
    wait(browser).until(lambda b: b.execute_script("return crossOriginIsolated"))
    wait(browser).until(lambda b: "works offline" in b.find_element(By.TAG_NAME, "header").text)


@pytest.fixture(scope="module")
def stylizer(several: Path) -> Stylizer:
    return Stylizer(several, "tensorflow", "float32", style=NAMES[0])


def painted_anew(browser: webdriver.Chrome, before: str) -> None:
    wait(browser).until(lambda b: the(b, "after").get_attribute("src") not in (None, before))
    painted(browser, NAMES[0])


@needs_chromium
def test_a_photo_is_painted_as_python_does_and_saved(
    page: webdriver.Chrome, stylizer: Stylizer, tmp_path: Path, downloads: Path, photo: Photo
) -> None:
    rgb = photo(60, 80)
    write_picture(tmp_path / "holiday.png", Picture(rgb))
    upload(page, tmp_path / "holiday.png")
    painted(page, NAMES[0])
    assert re.fullmatch(rf"{NAMES[0]}, [\d.]+ s on [2-9] threads\.", the(page, "message").text)
    assert np.abs(shown_pixels(page) - stylizer(rgb)).max() <= 2

    for key, how in [
        (lambda: the(page, "strength").send_keys(Keys.ARROW_LEFT * 8), {"strength": 0.6}),
        (the(page, "colors").click, {"strength": 0.6, "preserve_color": True}),
    ]:
        before = the(page, "after").get_attribute("src")
        key()
        painted_anew(page, before)
        assert np.abs(shown_pixels(page) - stylizer(rgb, **how)).max() <= 2

    the(page, "save").click()
    saved = downloads / f"holiday-{NAMES[0]}.png"
    wait(page).until(lambda _: saved.exists())
    np.testing.assert_array_equal(read_picture(saved).rgb, shown_pixels(page))


@needs_chromium
def test_every_style_is_there_and_the_brush_says_where(
    page: webdriver.Chrome, tmp_path: Path, photo: Photo
) -> None:
    rgb = photo(60, 80)
    write_picture(tmp_path / "a.png", Picture(rgb))
    upload(page, tmp_path / "a.png")
    painted(page, NAMES[0])
    pictures = [shown_pixels(page)]
    for style in NAMES[1:]:
        choice = page.find_element(By.CSS_SELECTOR, f"input[value={style}]")
        choice.find_element(By.XPATH, "..").click()
        painted(page, style)
        pictures.append(shown_pixels(page))
    assert len({picture.tobytes() for picture in pictures}) == len(NAMES)
    the(page, "brush").click()
    the(page, "brush-size").send_keys(Keys.END)
    before = the(page, "after").get_attribute("src")
    the(page, "mask").send_keys(Keys.SPACE)  # in the middle
    wait(page).until(lambda b: the(b, "after").get_attribute("src") != before)
    np.testing.assert_array_equal(shown_pixels(page)[:, :20], rgb[:, :20])
    np.testing.assert_array_equal(shown_pixels(page)[28:32, 38:42], pictures[-1][28:32, 38:42])


COUNT_TICKS = """
window.ticks = 0;
const message = document.getElementById("message");
setInterval(() => { ticks += message.textContent.startsWith("Painting"); }, 10);
"""


@needs_chromium
def test_a_large_photo_is_shrunk_with_a_sentence_and_the_page_goes_on(
    page: webdriver.Chrome, tmp_path: Path, photo: Photo
) -> None:
    write_picture(tmp_path / "wide.png", Picture(photo(60, 1400)))
    page.execute_script(COUNT_TICKS)
    upload(page, tmp_path / "wide.png")
    painted(page, NAMES[0])
    assert page.execute_script("return ticks") > 10  # it was not waiting for the network
    says(page, "message", "The picture of 1400 \u00d7 60 pixels was shrunk to 512 \u00d7 22.")
    assert shown_pixels(page).shape == (22, 512, 3)
    sizes = [option.get_attribute("value") for option in Select(the(page, "size")).options]
    assert sizes == ["512", "1024"]
    before = the(page, "after").get_attribute("src")
    Select(the(page, "size")).select_by_value("1024")
    painted_anew(page, before)
    says(page, "message", "was shrunk to 1024 \u00d7 44.")


@needs_chromium
def test_a_file_that_is_no_picture_is_told_and_another_one_works(
    page: webdriver.Chrome, tmp_path: Path, photo: Photo
) -> None:
    (tmp_path / "text.png").write_text("no picture")
    upload(page, tmp_path / "text.png")
    says(page, "error", "This browser cannot read the picture.")
    the(page, "another").click()
    write_picture(tmp_path / "a.png", Picture(photo(1, 30)))
    upload(page, tmp_path / "a.png")
    painted(page, NAMES[0])
    assert shown_pixels(page).shape == (1, 30, 3)


WATCH_JOBS = """
const [before, under_way] = [job, new Set()];
window.most = 0;
job = async (message, ...others) => {
  under_way.add(message);
  most = Math.max(most, under_way.size);
  try { return await before(message, ...others); } finally { under_way.delete(message); }
};
"""


@needs_chromium
def test_the_camera_is_painted_one_frame_at_a_time(page: webdriver.Chrome) -> None:
    page.execute_script(WATCH_JOBS)
    the(page, "webcam").click()
    says(page, "rate", " frames/s")
    wait(page).until(lambda b: the(b, "live").is_displayed())
    pictures = {the(page, "live").screenshot_as_base64}
    wait(page).until(
        lambda b: pictures.add(the(b, "live").screenshot_as_base64) or len(pictures) > 2
    )
    # The camera has given more frames than were painted; none is waiting.
    assert page.execute_script("return most") == 1
    the(page, "webcam").click()  # take the picture
    painted(page, NAMES[0])
    assert shown_pixels(page).std() > 5
    assert not the(page, "live").is_displayed()
    stream = "return document.getElementById('camera').srcObject"
    assert page.execute_script(stream) is None  # the camera is off


@needs_chromium
@pytest.mark.parametrize(("name", "width", "height"), [("desktop", 1280, 900), ("phone", 375, 812)])
def test_everything_has_a_name_and_fits(
    page: webdriver.Chrome, name: str, width: int, height: int, tmp_path: Path, photo: Photo
) -> None:
    """FAST_STYLE_SCREENSHOTS=FOLDER keeps what is seen."""
    folder = Path(os.environ.get("FAST_STYLE_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    with screen(page, width, height, density=2):
        page.save_screenshot(folder / f"site_{name}_empty.png")
        write_picture(tmp_path / "a.png", Picture(photo(60, 80)))
        upload(page, tmp_path / "a.png")
        painted(page, NAMES[0])
        page.save_screenshot(folder / f"site_{name}.png")
        assert_fits(page, width)
        assert_all_named(page)


@needs_chromium
def test_without_its_host_the_page_opens_and_paints_in_every_style(
    browser: webdriver.Chrome, site: Path, tmp_path: Path, photo: Photo
) -> None:
    with hosting(site) as address:
        visit(browser, address)
    for where in (address, f"{address}index.html?from=the+home+screen"):
        browser.get(where)
        wait(browser).until(lambda b: len(b.find_elements(By.NAME, "style")) == len(NAMES))
        write_picture(tmp_path / "a.png", Picture(photo(20, 30)))
        upload(browser, tmp_path / "a.png")
        painted(browser, NAMES[0])
        browser.find_element(By.CSS_SELECTOR, f"input[value={NAMES[2]}]").send_keys(Keys.SPACE)
        painted(browser, NAMES[2])
        assert browser.execute_script("return crossOriginIsolated")


GPU = """
const requestDevice = async () => {{ {device} }};
const requestAdapter = async () => ({{ info: {{}}, requestDevice }});
Object.defineProperty(navigator, "gpu", {{ value: {{ requestAdapter }} }});
"""
WITHOUT_MEMORY = """
const create = ort.InferenceSession.create;
ort.InferenceSession.create = async (bytes, options) => {
  if (options.executionProviders.includes("webgpu")) throw new Error("out of memory");
  return create.call(ort.InferenceSession, bytes, options);
};
"""


@needs_chromium
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (GPU.format(device='throw new Error("lost")'), ""),
        (GPU.format(device="return { destroy() {} }"), WITHOUT_MEMORY),
    ],
)
def test_a_gpu_that_fails_leaves_the_cpu(
    browser: webdriver.Chrome, site: Path, tmp_path: Path, photo: Photo, before: str, after: str
) -> None:
    folder = shutil.copytree(site, tmp_path / "site")
    painter = folder / "painter.js"
    painter.write_text(before + painter.read_text() + after)
    write_picture(tmp_path / "a.png", Picture(photo(20, 30)))
    with hosting(folder) as address:
        visit(browser, address)
        upload(browser, tmp_path / "a.png")
        painted(browser, NAMES[0])
        says(browser, "message", "threads.")
        assert the(browser, "error").text == ""


@needs_chromium
def test_the_browser_would_install_the_page(page: webdriver.Chrome) -> None:
    assert page.execute_cdp_cmd("Page.getInstallabilityErrors", {})["installabilityErrors"] == []


@needs_chromium
def test_a_host_may_unpack_the_files_and_a_new_export_replaces_the_old_one(
    browser: webdriver.Chrome,
    site: Path,
    several: Path,
    tmp_path: Path,
    photo: Photo,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(formats, "SIZES", ((20, 12),))
    (tmp_path / "hosted").symlink_to(site)
    host = type("Unpacking", (Host,), {"says_gzip": True})
    write_picture(tmp_path / "a.png", Picture(photo(20, 30)))
    with hosting(tmp_path / "hosted", host) as address:
        visit(browser, address)
        upload(browser, tmp_path / "a.png")
        painted(browser, NAMES[0])
        (name,) = export_site([several], tmp_path / "newer", style=NAMES[1])
        (tmp_path / "hosted").unlink()
        (tmp_path / "hosted").symlink_to(tmp_path / "newer")

        def newer(browser: webdriver.Chrome) -> bool:
            browser.get(address)
            wait(browser).until(lambda b: b.find_elements(By.NAME, "style"))
            return len(browser.find_elements(By.NAME, "style")) == 1

        wait(browser).until(newer)
        upload(browser, tmp_path / "a.png")
        painted(browser, name)
