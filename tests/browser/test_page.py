"""A page of another port drives Kerma as the UI does: real cookies, CORS and preflights."""

from __future__ import annotations

from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from kit.browser.site import Place
from kit.running.visitor import JOB_SECONDS, NAME

pytestmark = pytest.mark.browser


def said(browser: Chrome, start: str, within: float = 30) -> str:
    """Wait until the page reports something that begins with ``start``; return the rest."""
    output = browser.find_element(By.ID, "said")
    WebDriverWait(browser, within).until(lambda _: output.text.startswith(start), output.text)
    return output.text.removeprefix(start).strip()


def log_in(browser: Chrome) -> str:
    for field, text in NAME.items():
        browser.find_element(By.ID, field).send_keys(text)
    browser.find_element(By.CSS_SELECTOR, "#login button").click()
    return said(browser, "POST auth/login")


def call(browser: Chrome, method: str, path: str) -> dict[str, Any]:
    """Return status and JSON of a call that the page makes."""
    script = "const [method, path, done] = arguments; call(method, path).then(done);"
    answer: dict[str, Any] = browser.execute_async_script(script, method, path)
    return answer


def test_a_page_of_another_port_logs_in_submits_follows_and_logs_out(
    place: Place, browser: Chrome
) -> None:
    browser.get(place.url("127.0.0.1"))
    assert log_in(browser).startswith("202")
    browser.find_element(By.ID, "submit").click()
    assert said(browser, "POST jobs/direct").startswith("202")
    state = browser.find_element(By.ID, "state")
    WebDriverWait(browser, JOB_SECONDS).until(lambda _: state.text == "COMPLETED")
    pages = browser.find_element(By.ID, "pages")
    WebDriverWait(browser, 30).until(lambda _: pages.text)
    assert pages.text == "1,1,1"
    browser.find_element(By.ID, "logout").click()
    assert said(browser, "logout and refresh").startswith("200")
    after = call(browser, "GET", "user/simulations?page_idx=1&page_size=10")
    assert after == {"status": 401, "json": {"message": "No token provided"}}


def test_cookies_are_http_only_lax_and_for_the_whole_host(place: Place, browser: Chrome) -> None:
    browser.get(place.url("127.0.0.1"))
    log_in(browser)
    assert browser.execute_script("return document.cookie") == ""
    kept = {cookie["name"]: cookie for cookie in browser.get_cookies()}
    assert set(kept) == {"access_token", "refresh_token"}
    for cookie in kept.values():
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Lax"
        assert cookie["path"] == "/"
        assert not cookie["secure"]


def test_a_page_keeps_no_cookie_of_an_api_under_another_host_name(
    place: Place, browser: Chrome
) -> None:
    browser.get(place.url("localhost"))
    assert log_in(browser).startswith("202")
    browser.find_element(By.ID, "submit").click()
    assert said(browser, "POST jobs/direct") == "401 No token provided"


def test_an_origin_that_is_not_allowed_reads_nothing(place: Place, browser: Chrome) -> None:
    browser.get(place.url("127.0.0.1"))
    log_in(browser)
    browser.get(place.url("127.0.0.1", place.stranger))
    script = "const done = arguments[0]; call('GET', 'auth/status').then(done, e => done(`${e}`));"
    assert "TypeError" in browser.execute_async_script(script)
