"""Settings: prefixes, secrets from files, errors that name the variable and hide the value."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from kerma_common.settings import (
    BlobSettings,
    HttpSettings,
    NatsSettings,
    PgSettings,
    SettingsError,
    TelemetrySettings,
    load,
)

PG = "postgresql://kerma:hidden@db:5432/kerma"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NATS_URL", "PG_URL", "PG_URL_FILE", "BLOB_URL", "HTTP_ORIGINS"):
        monkeypatch.delenv(f"KERMA_{name}", raising=False)


def test_a_missing_secret_refuses_and_names_both_variables() -> None:
    with pytest.raises(SettingsError, match=r"KERMA_PG_URL \(or KERMA_PG_URL_FILE\) is not set"):
        load(PgSettings)


def test_a_secret_is_read_from_a_file_and_hidden_when_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "url").write_text(PG + "\n")
    monkeypatch.setenv("KERMA_PG_URL_FILE", str(tmp_path / "url"))
    settings = load(PgSettings)
    assert settings.url.get_secret_value() == PG
    assert "hidden" not in repr(settings)


def test_a_secret_given_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "url").write_text(PG)
    monkeypatch.setenv("KERMA_PG_URL", PG)
    monkeypatch.setenv("KERMA_PG_URL_FILE", str(tmp_path / "url"))
    with pytest.raises(SettingsError, match="either KERMA_PG_URL or KERMA_PG_URL_FILE"):
        load(PgSettings)


def test_an_unreadable_secret_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERMA_PG_URL_FILE", "/nonexistent/url")
    with pytest.raises(SettingsError, match="KERMA_PG_URL_FILE: cannot read /nonexistent/url"):
        load(PgSettings)


def test_a_wrong_value_is_named_but_not_shown() -> None:
    with pytest.raises(SettingsError, match="KERMA_PG_URL: must start with") as caught:
        load(PgSettings, url="mysql://kerma:hidden@db/kerma")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("url", ["nats://bus:4222", "nats://u:p@a:4222,nats://b:4222"])
def test_a_bus_without_credentials_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="no user and password"):
        load(NatsSettings, url=url)


@pytest.mark.parametrize("url", ["folder", "file://host/x", "file:///", "s3:///x", "gs://b/x"])
def test_unknown_blob_places_are_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="must look like"):
        load(BlobSettings, url=url)


def test_object_stores_need_both_keys() -> None:
    with pytest.raises(SettingsError, match="KERMA_BLOB_SECRET_KEY"):
        load(BlobSettings, url="s3://bucket/prefix", access_key="id")


def test_origins_are_a_list_without_wildcard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERMA_HTTP_ORIGINS", "http://localhost:3000/, https://ui.example")
    assert load(HttpSettings).origins == ("http://localhost:3000", "https://ui.example")
    monkeypatch.setenv("KERMA_HTTP_ORIGINS", "*")
    with pytest.raises(SettingsError, match="KERMA_HTTP_ORIGINS"):
        load(HttpSettings)


def test_settings_cannot_be_changed() -> None:
    settings = load(TelemetrySettings)
    with pytest.raises(ValidationError):
        settings.log_level = "DEBUG"  # type: ignore[misc]


def test_trusted_proxies_are_addresses_and_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERMA_HTTP_TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8,2001:db8::/32")
    found = load(HttpSettings).trusted_proxies
    assert found == ("127.0.0.1", "10.0.0.0/8", "2001:db8::/32")
    for wrong in ("*", "gateway", "10.0.0.1/8"):
        monkeypatch.setenv("KERMA_HTTP_TRUSTED_PROXIES", wrong)
        with pytest.raises(SettingsError, match="KERMA_HTTP_TRUSTED_PROXIES"):
            load(HttpSettings)
