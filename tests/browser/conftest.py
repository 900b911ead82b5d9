"""A Kerma, a page served from another port, and a Chromium that opens it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from kit.browser.site import Place, page_server
from kit.running.whole import whole


@pytest.fixture(scope="session")
def place() -> Iterator[Place]:
    with (
        page_server() as page,
        page_server() as stranger,
        whole(KERMA_HTTP_ORIGINS=f"http://127.0.0.1:{page.port}") as kerma,
    ):
        kerma.up()
        kerma.visitor().enter().close()
        page.passes_on_to(kerma.running.url)
        yield Place(kerma, page.port, stranger.port)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """A Chromium with an empty profile."""
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    assert all(programs), "needs Chromium (Debian: apt install chromium chromium-driver)"
    options = Options()
    options.binary_location = str(programs[0])
    for argument in ("--headless=new", "--no-sandbox", f"--user-data-dir={tmp_path}"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options, Service(programs[1]))
    try:
        yield driver
    finally:
        driver.quit()
