"""The interactive documents work in a real browser under their own content policy."""

from __future__ import annotations

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from kit.browser.site import Place

pytestmark = pytest.mark.browser


def test_the_document_is_shown_and_an_operation_tried_out(
    browser: webdriver.Chrome, place: Place
) -> None:
    url = place.kerma.running.url.rstrip("/")
    browser.get(f"{url}/v1/docs#/auth/yaptide_get")
    wait = WebDriverWait(browser, 60)

    def click(selector: str) -> None:
        found = wait.until(lambda b: b.find_element(By.CSS_SELECTOR, selector))
        browser.execute_script("arguments[0].click()", found)

    click("#operations-auth-yaptide_get .try-out__btn")
    click("#operations-auth-yaptide_get .execute")
    answer = "#operations-auth-yaptide_get .live-responses-table tbody"
    wait.until(lambda b: "Hello World!" in b.find_element(By.CSS_SELECTOR, answer).text)
    entries = browser.get_log("browser")  # type: ignore[no-untyped-call]
    assert not [entry for entry in entries if entry["level"] == "SEVERE"]
    loaded = browser.execute_script(
        "return performance.getEntriesByType('resource').map(entry => entry.name)"
    )
    assert loaded
    assert all(name.startswith((f"{url}/", "data:")) for name in loaded)
