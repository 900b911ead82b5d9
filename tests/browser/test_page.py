"""A page of another port drives Kerma as the UI does: real cookies, CORS and preflights."""

from __future__ import annotations

from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from kit.browser.site import Place
from kit.running.clients.visitor import JOB_SECONDS, NAME

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


@pytest.mark.parametrize("same_origin", [True, False], ids=["same origin", "another port"])
def test_a_page_logs_in_submits_follows_and_logs_out(
    place: Place, browser: Chrome, same_origin: bool
) -> None:
    browser.get(place.same_origin if same_origin else place.url("127.0.0.1"))
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


def test_a_page_of_a_port_that_nobody_set_drives_the_api_of_its_host(
    place: Place, browser: Chrome
) -> None:
    browser.get(place.url("127.0.0.1", place.stranger))
    assert log_in(browser).startswith("202")
    browser.find_element(By.ID, "submit").click()
    assert said(browser, "POST jobs/direct").startswith("202")
    assert call(browser, "GET", "auth/status")["status"] == 200


def test_an_origin_that_is_not_allowed_reads_nothing(place: Place, browser: Chrome) -> None:
    browser.get(place.url("127.0.0.1"))
    log_in(browser)
    browser.get(place.url("127.0.0.1", place.stranger, "localhost"))
    script = "const done = arguments[0]; call('GET', 'auth/status').then(done, e => done(`${e}`));"
    assert "TypeError" in browser.execute_async_script(script)


def jobs_of(browser: Chrome) -> int:
    count: int = call(browser, "GET", "user/simulations?page_size=1")["json"]["simulations_count"]
    return count


FORGED = """
const [api, done] = arguments;
fetch("submission.json").then((answer) => answer.text()).then((body) =>
  fetch(api + "jobs/direct", {method: "POST", mode: "no-cors", credentials: "include", body})
).then((answer) => done(answer.type), (error) => done(`${error}`));
"""


@pytest.mark.parametrize("page_host", ["127.0.0.1", "localhost"])
def test_a_strange_page_submits_nothing_with_the_cookies_of_a_user(
    place: Place, browser: Chrome, page_host: str
) -> None:
    browser.get(place.url("127.0.0.1"))
    log_in(browser)
    before = jobs_of(browser)
    browser.get(place.url("127.0.0.1", place.stranger, page_host))
    # the request is sent, as text that needs no preflight; the page may not read the answer
    assert browser.execute_async_script(FORGED, place.kerma.running.url + "/") == "opaque"
    browser.get(place.url("127.0.0.1"))
    assert jobs_of(browser) == before


LOGIN = """
const [api, name, done] = arguments;
const options = {method: "POST", mode: "no-cors", credentials: "include", body: JSON.stringify(name)};
fetch(api + "auth/login", options).then((answer) => done(answer.type), (e) => done(`${e}`));
"""


def test_a_strange_page_logs_nobody_in(place: Place, browser: Chrome) -> None:
    browser.get(place.url("127.0.0.1", place.stranger, "localhost"))
    api = place.kerma.running.url + "/"
    assert browser.execute_async_script(LOGIN, api, NAME) == "opaque"
    browser.get(place.url("127.0.0.1"))
    assert call(browser, "GET", "auth/status")["status"] == 401


FOLLOW = """
const [api, done] = arguments;
const source = new EventSource(api + "v1/jobs/events", {withCredentials: true});
const states = [];
source.onerror = () => done(["error", source.readyState]);
source.onopen = async () => {
  const body = await (await fetch("submission.json")).json();
  const {json} = await call("POST", "jobs/direct", body);
  source.addEventListener("job", (event) => {
    const now = JSON.parse(event.data);
    if (now.id !== json.job_id) return;
    states.push(now.state);
    if (now.state === "COMPLETED") { source.close(); done(states); }
  });
};
"""


def test_a_page_follows_its_jobs_by_live_updates(place: Place, browser: Chrome) -> None:
    browser.get(place.url("127.0.0.1"))
    log_in(browser)
    browser.set_script_timeout(JOB_SECONDS)
    states = browser.execute_async_script(FOLLOW, place.kerma.running.url + "/")
    assert states[-1] == "COMPLETED"
    assert "PENDING" in states or "RUNNING" in states
