"""The page, as a person uses it: in Chromium, where that and its driver are installed."""

import base64
import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("selenium")
pytest.importorskip("uvicorn", reason="the server is an optional extra")
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from fast_style.pictures.images import Picture, encode_picture, read_picture, write_picture
from fast_style.serve.access import Access
from fast_style.serve.app import application
from fast_style.serve.http_server import HttpServer
from fast_style.serve.learning import Learning
from fast_style.serve.models import Models
from fast_style.serve.own_styles import OwnStyles
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

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(
    downloads: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[webdriver.Chrome]:
    camera = write_camera(tmp_path_factory.mktemp("camera") / "camera.y4m")
    flags = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with start(downloads, *flags, f"--use-file-for-fake-video-capture={camera}") as browser:
        yield browser


@pytest.fixture(scope="module")
def address(several: Path) -> Iterator[str]:
    with serving(Models([several])) as address:
        yield address


@contextlib.contextmanager
def serving(
    models: Models, access: Access | None = None, learning: Learning | None = None
) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = application(models, access=access, learning=learning)
    server = HttpServer(app, learning, port=port, log_level="error")
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        thread.join()


def write_camera(path: Path, width: int = 480, height: int = 360) -> Path:
    """Writes frames of two greys for Chromium's camera, each 10 levels lighter than the last."""
    with path.open("wb") as file:
        file.write(b"YUV4MPEG2 W%d H%d F30:1 Ip A1:1 C420\n" % (width, height))
        for number in range(20):
            grey = 20 + 10 * number
            row = bytes([grey]) * (width // 2) + bytes([grey + 30]) * (width // 2)
            file.write(b"FRAME\n" + row * height)
            file.write(bytes([128]) * (width * height // 2))
    return path


@pytest.fixture
def page(browser: webdriver.Chrome, address: str) -> webdriver.Chrome:
    browser.get(address)
    wait(browser).until(lambda b: len(b.find_elements(By.NAME, "style")) == len(NAMES))
    return browser


def test_a_picture_is_painted_in_every_style_and_saved(
    page: webdriver.Chrome, tmp_path: Path, downloads: Path, photo: Photo
) -> None:
    write_picture(tmp_path / "holiday.png", Picture(photo(60, 80)))
    upload(page, tmp_path / "holiday.png")
    painted(page, NAMES[0])
    seen = {the(page, "after").get_attribute("src")}
    for style in NAMES[1:]:
        page.find_element(By.CSS_SELECTOR, f"input[value={style}]").find_element(
            By.XPATH, ".."
        ).click()
        painted(page, style)
        seen.add(the(page, "after").get_attribute("src"))
    assert len(seen) == len(NAMES)

    the(page, "save").click()
    saved = downloads / f"holiday-{NAMES[-1]}.png"
    wait(page).until(lambda _: saved.exists())
    assert read_picture(saved).rgb.shape == (60, 80, 3)


def test_sliders_move_by_keys_and_paint_again(
    page: webdriver.Chrome, tmp_path: Path, photo: Photo
) -> None:
    rgb = photo(40, 50)
    write_picture(tmp_path / "a.png", Picture(rgb))
    upload(page, tmp_path / "a.png")
    painted(page, NAMES[0])
    the(page, "divide").send_keys(Keys.HOME)
    assert "--divide: 0%" in the(page, "result").get_attribute("style")
    before = the(page, "after").get_attribute("src")
    the(page, "strength").send_keys(Keys.HOME)
    assert the(page, "strength-value").text == "0%"
    wait(page).until(lambda b: the(b, "after").get_attribute("src") not in (None, before))
    # No strength leaves the picture as it was.
    np.testing.assert_array_equal(shown_pixels(page), rgb)


def test_a_bad_file_is_told_in_words_and_another_one_works(
    page: webdriver.Chrome, tmp_path: Path, photo: Photo
) -> None:
    (tmp_path / "text.png").write_text("no picture")
    upload(page, tmp_path / "text.png")
    wait(page).until(lambda b: the(b, "error").text)
    assert "is not a JPEG" in the(page, "error").text
    the(page, "another").click()
    assert the(page, "error").text == "" and the(page, "drop").is_displayed()
    write_picture(tmp_path / "a.png", Picture(photo(20, 30)))
    upload(page, tmp_path / "a.png")
    painted(page, NAMES[0])


@pytest.mark.parametrize(("name", "width", "height"), [("desktop", 1280, 900), ("phone", 390, 844)])
def test_everything_has_a_name_and_fits(
    page: webdriver.Chrome, name: str, width: int, height: int, tmp_path: Path, photo: Photo
) -> None:
    """FAST_STYLE_SCREENSHOTS=FOLDER keeps what is seen."""
    folder = Path(os.environ.get("FAST_STYLE_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    with screen(page, width, height, density=2):
        page.save_screenshot(folder / f"{name}_empty.png")
        assert_fits(page, width)
        write_picture(tmp_path / "a.png", Picture(photo(60, 80)))
        upload(page, tmp_path / "a.png")
        painted(page, NAMES[0])
        page.save_screenshot(folder / f"{name}.png")
        assert_fits(page, width)
        shown = page.execute_script(
            "return document.getElementById('result').getBoundingClientRect().toJSON()"
        )
    top, left = round(2 * shown["top"]), round(2 * shown["left"])
    rows, columns = round(2 * shown["height"]), round(2 * shown["width"])
    seen = read_picture(folder / f"{name}.png").rgb[top : top + rows, left : left + columns]
    assert seen.shape[0] > 100 and seen.shape[1] > min(width, 600)
    assert (seen.std((0, 1)) > 5).all()  # a picture, on the screen
    assert_all_named(page)


DROP = """
const [selector, name, base64] = arguments;
const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
const dataTransfer = new DataTransfer();
dataTransfer.items.add(new File([bytes], name, { type: "image/png" }));
document.querySelector(selector).dispatchEvent(
  new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
"""


def drop(browser: webdriver.Chrome, selector: str, name: str, content: bytes) -> None:
    browser.execute_script(DROP, selector, name, base64.b64encode(content).decode())


@pytest.fixture
def own_styles_page(
    browser: webdriver.Chrome,
    several: Path,
    any_style_model: Path,
    learning_conf: Path,
    tmp_path: Path,
) -> Iterator[webdriver.Chrome]:
    own = OwnStyles(tmp_path / "own")
    models = Models([several, any_style_model], own=own)
    with serving(models, learning=Learning(own, any_style_model, str(learning_conf))) as address:
        browser.get(address)
        wait(browser).until(lambda b: the(b, "own").is_displayed())
        yield browser
        browser.get("about:blank")


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (375, 812)])
def test_from_a_dropped_painting_to_a_saved_picture(
    own_styles_page: webdriver.Chrome,
    tmp_path: Path,
    downloads: Path,
    photo: Photo,
    width: int,
    height: int,
) -> None:
    page = own_styles_page
    with screen(page, width, height):
        write_picture(tmp_path / f"holiday{width}.png", Picture(photo(60, 80)))
        upload(page, tmp_path / f"holiday{width}.png")
        painted(page, NAMES[0])
        drop(page, "#drop-painting", "text.png", b"no picture")
        says(page, "own-error", "the painting: is not a JPEG")
        drop(page, "#drop-painting", "my wall.png", encode_picture(Picture(photo(48, 60)), ".png"))
        painted(page, "my wall")
        predicted = shown_pixels(page)

        the(page, "own-name").clear()
        the(page, "own-name").send_keys("kitchen")
        the(page, "minutes").send_keys("10")
        the(page, "learn").click()
        wait(page).until(lambda b: the(b, "learning").is_displayed())
        wait(page).until(lambda b: int(the(b, "learned-part").get_attribute("aria-valuenow")) > 0)
        assert_fits(page, width)
        painted(page, "kitchen")
        wait(page).until(lambda _: (shown_pixels(page) != predicted).any())  # in place, meanwhile
        the(page, "stop").click()
        says(page, "own-message", "kitchen is kept as it is")
        wait(page).until(lambda b: not the(b, "learning").is_displayed())
        assert list((tmp_path / "own" / "kitchen").glob("weights.npz"))
        painted(page, "kitchen")

        the(page, "save").click()
        saved = downloads / f"holiday{width}-kitchen.png"
        wait(page).until(lambda _: saved.exists())
        np.testing.assert_array_equal(read_picture(saved).rgb, shown_pixels(page))
        names = [choice.get_attribute("value") for choice in page.find_elements(By.NAME, "style")]
        assert "kitchen" in names and "my wall" not in names
        assert_all_named(page)

        the(page, "delete").click()
        page.switch_to.alert.accept()
        says(page, "own-message", "kitchen is deleted")
        painted(page, NAMES[0])


def test_two_styles_are_mixed(own_styles_page: webdriver.Chrome, photo: Photo) -> None:
    page = own_styles_page
    drop(page, "#drop", "a.png", encode_picture(Picture(photo(40, 50)), ".png"))
    painted(page, NAMES[0])
    alone = shown_pixels(page)
    Select(the(page, "mix")).select_by_value(NAMES[1])
    painted(page, f"{NAMES[0]} and {NAMES[1]}")
    half = shown_pixels(page)
    assert (half != alone).any()
    assert the(page, "share").is_displayed()
    the(page, "share").send_keys(Keys.HOME)
    assert the(page, "share-value").text == "5%"
    wait(page).until(lambda _: (shown_pixels(page) != half).any())
    assert np.abs(shown_pixels(page) - alone).mean() < np.abs(half - alone).mean()


def test_the_brush_says_where(page: webdriver.Chrome, tmp_path: Path, photo: Photo) -> None:
    rgb = photo(60, 80)
    write_picture(tmp_path / "a.png", Picture(rgb))
    upload(page, tmp_path / "a.png")
    painted(page, NAMES[0])
    everywhere = shown_pixels(page)
    the(page, "brush").click()
    the(page, "brush-size").send_keys(Keys.END)
    canvas = the(page, "mask")
    canvas.send_keys(Keys.SPACE)  # in the middle
    painted(page, NAMES[0])
    in_the_middle = shown_pixels(page)
    np.testing.assert_array_equal(in_the_middle[:, :20], rgb[:, :20])
    np.testing.assert_array_equal(in_the_middle[28:32, 38:42], everywhere[28:32, 38:42])
    before = the(page, "after").get_attribute("src")
    box = canvas.rect
    left = ActionChains(page).move_to_element_with_offset(canvas, round(-0.45 * box["width"]), 0)
    left.click_and_hold().move_by_offset(3, 0).release().perform()
    wait(page).until(lambda b: the(b, "after").get_attribute("src") != before)
    np.testing.assert_array_equal(shown_pixels(page)[28:32, 3:6], everywhere[28:32, 3:6])
    before = the(page, "after").get_attribute("src")
    the(page, "everywhere").click()
    wait(page).until(lambda b: the(b, "after").get_attribute("src") != before)
    np.testing.assert_array_equal(shown_pixels(page), everywhere)


COUNT_PAINTINGS = """
const painted = window.paint, video = document.getElementById('camera');
window.counts = { running: 0, most: 0, times: [] };
window.paint = async (...all) => {
  counts.times.push(video.currentTime);
  counts.most = Math.max(counts.most, ++counts.running);
  await new Promise((done) => setTimeout(done, 100));  // three frames of the camera
  try {
    return await painted(...all);
  } finally {
    counts.running -= 1;
  }
};
"""
LIVE_PIXELS = """
const canvas = document.createElement('canvas'), live = document.getElementById('live');
[canvas.width, canvas.height] = [live.width, live.height];
const pen = canvas.getContext('2d');
pen.drawImage(live, 0, 0);
return [live.width, live.height, ...pen.getImageData(0, 0, live.width, 1).data];
"""


def live_row(browser: webdriver.Chrome) -> np.ndarray:
    """The first row of the picture that is shown live, (480, 3)."""
    width, height, *row = browser.execute_script(LIVE_PIXELS)
    assert (width, height) == (480, 360)
    return np.array(row).reshape(width, 4)[:, :3]


def test_the_camera_is_painted_live_and_frames_are_dropped(page: webdriver.Chrome) -> None:
    page.execute_script(COUNT_PAINTINGS)
    the(page, "webcam").click()
    wait(page).until(lambda b: the(b, "rate").text.startswith(f"{NAMES[0]}, "))
    assert the(page, "live").is_displayed() and the(page, "rate").text.endswith(" frames/s")
    assert len(np.unique(live_row(page))) > 4  # strokes; the camera's frames have two greys
    page.find_element(By.CSS_SELECTOR, f"input[value={NAMES[1]}]").find_element(
        By.XPATH, ".."
    ).click()
    wait(page).until(lambda b: the(b, "rate").text.startswith(f"{NAMES[1]}, "))
    the(page, "strength").send_keys(Keys.HOME)
    wait(page).until(lambda b: len(np.unique(live_row(b))) == 2)
    seen = live_row(page).mean()
    wait(page).until(lambda b: abs(live_row(b).mean() - seen) > 5)  # another frame
    counts = page.execute_script("return counts")
    assert counts["most"] == 1  # no frame waits on the server
    assert counts["times"] == sorted(set(counts["times"])) and len(counts["times"]) > 3

    the(page, "webcam").click()  # takes the picture
    painted(page, NAMES[1])
    assert not the(page, "live").is_displayed() and not the(page, "camera").is_displayed()
    paintings = page.execute_script("return counts.times.length")
    the(page, "another").click()
    assert the(page, "drop").is_displayed()
    assert page.execute_script("return counts.times.length") == paintings


def test_the_camera_goes_on_after_an_error_and_is_put_away(page: webdriver.Chrome) -> None:
    page.execute_script("painted = window.paint; window.paint = () => { throw Error('full'); };")
    the(page, "webcam").click()
    says(page, "error", "full")
    assert the(page, "camera").is_displayed() and not the(page, "live").is_displayed()
    page.execute_script("window.paint = painted;")
    wait(page).until(lambda b: the(b, "rate").text and not the(b, "error").text)
    the(page, "another").click()
    assert the(page, "drop").is_displayed() and not the(page, "live").is_displayed()
    assert page.execute_script("return document.getElementById('camera').srcObject") is None


def test_faces_can_be_kept_where_the_extra_is_installed(
    page: webdriver.Chrome, tmp_path: Path
) -> None:
    features = page.execute_async_script(
        "fetch('/features').then((answer) => answer.json()).then(arguments[0])"
    )
    if not features["protect_faces"]:
        assert not the(page, "faces").is_displayed()
        return
    wait(page).until(lambda b: the(b, "faces").is_displayed())
    matplotlib = pytest.importorskip("matplotlib")
    portrait = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    rgb = read_picture(portrait).rgb[::3, ::3]
    write_picture(tmp_path / "a.png", Picture(rgb))
    upload(page, tmp_path / "a.png")
    painted(page, NAMES[0])
    plain = shown_pixels(page)
    the(page, "faces").send_keys(Keys.END)
    assert the(page, "faces-value").text == "100%"
    wait(page).until(lambda _: (shown_pixels(page) != plain).any())
    kept = shown_pixels(page)
    face = slice(len(rgb) // 4, len(rgb) // 3), slice(2 * rgb.shape[1] // 5, rgb.shape[1] // 2)
    np.testing.assert_array_equal(kept[face], rgb[face])
    np.testing.assert_array_equal(kept[-len(rgb) // 4 :], plain[-len(rgb) // 4 :])


def test_nothing_is_asked_of_another_machine(page: webdriver.Chrome, address: str) -> None:
    page.get_log("browser")  # of the tests before
    page.refresh()
    wait(page).until(lambda b: len(b.find_elements(By.NAME, "style")) == len(NAMES))
    asked = page.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert asked and all(name.startswith((address, "data:", "blob:")) for name in asked)
    assert page.get_log("browser") == []


def test_the_browser_shows_a_token_that_it_was_given(
    browser: webdriver.Chrome, several: Path, tmp_path: Path, photo: Photo
) -> None:
    with serving(Models([several]), Access(token="swordfish")) as address:
        browser.get(address.replace("//", "//anybody:swordfish@"))  # what a person would type in
        browser.get(address)
        wait(browser).until(lambda b: len(b.find_elements(By.NAME, "style")) == len(NAMES))
        write_picture(tmp_path / "a.png", Picture(photo(20, 30)))
        upload(browser, tmp_path / "a.png")
        painted(browser, NAMES[0])
        browser.get("about:blank")  # its connections would be waited for
