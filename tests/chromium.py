"""Chromium, and what a person does in it with a page that paints."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE = 240  # seconds
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
needs_chromium = pytest.mark.skipif(
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


def start(downloads: Path, *flags: str) -> webdriver.Chrome:
    """Returns a browser that saves files in `downloads`."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    usual = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
    for flag in (*usual, *flags):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    browser = webdriver.Chrome(options=options, service=Service(DRIVER))
    browser.set_window_size(1280, 900)
    return browser


def wait(browser: webdriver.Chrome) -> WebDriverWait:
    return WebDriverWait(browser, PATIENCE)


def the(browser: webdriver.Chrome, identity: str) -> WebElement:
    return browser.find_element(By.ID, identity)


def upload(browser: webdriver.Chrome, path: Path) -> None:
    the(browser, "file").send_keys(str(path))


def painted(browser: webdriver.Chrome, style: str) -> None:
    wait(browser).until(lambda b: the(b, "message").text.startswith(f"{style}, "))


def shown_pixels(browser: webdriver.Chrome) -> np.ndarray:
    pixels = browser.execute_async_script(PIXELS_OF_AFTER)
    return np.array(pixels[2:]).reshape(*pixels[:2], 4)[..., :3]


def says(browser: webdriver.Chrome, identity: str, text: str) -> None:
    wait(browser).until(lambda b: text in the(b, identity).text)


@contextmanager
def screen(browser: webdriver.Chrome, width: int, height: int, density: int = 1) -> Iterator[None]:
    """The browser has a screen of this size, of a phone below 600 pixels, until the block ends."""
    phone = {"deviceScaleFactor": density, "mobile": width < 600}
    size = {"width": width, "height": height}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size | phone)
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def assert_fits(browser: webdriver.Chrome, width: int) -> None:
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def assert_all_named(browser: webdriver.Chrome) -> None:
    """What a person can use has a name for those who do not see it."""
    for control in browser.find_elements(By.CSS_SELECTOR, "input, select, button, canvas"):
        assert control.accessible_name or not control.is_displayed(), control.get_attribute("id")
