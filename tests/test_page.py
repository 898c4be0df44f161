"""The page, as a person uses it: in Chromium, where that and its driver are installed."""

import base64
import contextlib
import os
import shutil
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
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from fast_style.pictures.images import Picture, encode_picture, read_picture, write_picture
from fast_style.serve.access import Access
from fast_style.serve.app import application
from fast_style.serve.http_server import HttpServer
from fast_style.serve.learning import Learning
from fast_style.serve.models import Models
from fast_style.serve.own_styles import OwnStyles
from tests.conftest import NAMES, Photo

PATIENCE = 60  # seconds
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="Chromium and its driver are not installed"
)
PIXELS_OF_AFTER = """
const done = arguments[0], image = document.getElementById('after');
image.decode().then(() => {
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const context = canvas.getContext('2d');
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  done([canvas.height, canvas.width, ...data]);
});
"""


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


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(downloads: Path) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    with webdriver.Chrome(options=options, service=Service(DRIVER)) as browser:
        browser.set_window_size(1280, 900)
        yield browser


@pytest.fixture
def page(browser: webdriver.Chrome, address: str) -> webdriver.Chrome:
    browser.get(address)
    wait(browser).until(lambda b: len(b.find_elements(By.NAME, "style")) == len(NAMES))
    return browser


def wait(browser: webdriver.Chrome) -> WebDriverWait:
    return WebDriverWait(browser, PATIENCE)


def the(browser: webdriver.Chrome, identity: str) -> WebElement:
    return browser.find_element(By.ID, identity)


def upload(browser: webdriver.Chrome, path: Path) -> None:
    the(browser, "file").send_keys(str(path))


def painted(browser: webdriver.Chrome, style: str) -> None:
    wait(browser).until(lambda b: the(b, "message").text.startswith(f"{style}, "))


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
    pixels = page.execute_async_script(PIXELS_OF_AFTER)
    shown = np.array(pixels[2:]).reshape(*pixels[:2], 4)[..., :3]
    np.testing.assert_array_equal(shown, rgb)  # no strength leaves the picture as it was


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
    screen = {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": name == "phone"}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        page.save_screenshot(folder / f"{name}_empty.png")
        assert page.execute_script("return document.documentElement.scrollWidth") <= width
        write_picture(tmp_path / "a.png", Picture(photo(60, 80)))
        upload(page, tmp_path / "a.png")
        painted(page, NAMES[0])
        page.save_screenshot(folder / f"{name}.png")
        assert page.execute_script("return document.documentElement.scrollWidth") <= width
        shown = page.execute_script(
            "return document.getElementById('result').getBoundingClientRect().toJSON()"
        )
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    top, left = round(2 * shown["top"]), round(2 * shown["left"])
    rows, columns = round(2 * shown["height"]), round(2 * shown["width"])
    seen = read_picture(folder / f"{name}.png").rgb[top : top + rows, left : left + columns]
    assert seen.shape[0] > 100 and seen.shape[1] > min(width, 600)
    assert (seen.std((0, 1)) > 5).all()  # a picture, on the screen
    for control in page.find_elements(By.CSS_SELECTOR, "input, select, button"):
        assert control.accessible_name or not control.is_displayed(), control.get_attribute("id")


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


def shown_pixels(browser: webdriver.Chrome) -> np.ndarray:
    pixels = browser.execute_async_script(PIXELS_OF_AFTER)
    return np.array(pixels[2:]).reshape(*pixels[:2], 4)[..., :3]


def says(browser: webdriver.Chrome, identity: str, text: str) -> None:
    wait(browser).until(lambda b: text in the(b, identity).text)


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
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
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
        assert page.execute_script("return document.documentElement.scrollWidth") <= width
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
        for control in page.find_elements(By.CSS_SELECTOR, "input, select, button"):
            assert control.accessible_name or not control.is_displayed(), control.get_attribute(
                "id"
            )

        the(page, "delete").click()
        page.switch_to.alert.accept()
        says(page, "own-message", "kitchen is deleted")
        painted(page, NAMES[0])
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


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
