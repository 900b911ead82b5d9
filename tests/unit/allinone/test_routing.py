"""The table of routes: complete, one service per path, the same for every gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from kerma_allinone.edge.deriving import TABLE_MODULE, checked, derived_routes, table_module
from kerma_allinone.edge.gateway import GatewaySettings
from kerma_allinone.edge.nginx import Listening, nginx_configuration
from kerma_allinone.edge.routing import TABLE, Route, RouteTable
from kerma_common.errors import ContractViolation
from kerma_common.settings import HttpSettings, SettingsError, load

ROOT = Path(__file__).parents[3]
URLS = {name: f"http://{name}:8080" for name in GatewaySettings.model_fields}
HERE = Listening("8080")


def test_no_route_of_a_service_is_missing() -> None:
    assert derived_routes() == TABLE.routes, "run './kerma generate'"
    assert (ROOT / TABLE_MODULE).read_bytes() == table_module(TABLE.routes)


def test_every_route_leads_to_its_service() -> None:
    for route in TABLE.routes:
        path = route.path.replace("{", "").replace("}", "")
        assert TABLE.service_of(path) == route.service


def test_fixed_paths_come_before_patterns_and_parameters_hold_no_slash() -> None:
    table = RouteTable(
        [
            Route("GET", "/v1/things/{thing}", "jobs", large=False),
            Route("GET", "/v1/things/{thing}/parts", "results", large=False),
            Route("GET", "/v1/things/mine", "runner", large=False),
        ]
    )
    paths = ("/v1/things/mine", "/v1/things/x", "/v1/things/x/parts", "/v1/things/x/y", "/v1")
    assert [table.service_of(path) for path in paths] == [
        "runner",
        "jobs",
        "results",
        "auth",
        "auth",
    ]


def test_a_path_of_two_services_is_found() -> None:
    routes = [
        Route("GET", "/tasks", "jobs", large=False),
        Route("POST", "/tasks", "runner", large=True),
    ]
    with pytest.raises(ContractViolation, match="/tasks is a path of jobs and runner"):
        checked(routes)


def test_every_path_is_in_the_configuration_of_nginx() -> None:
    written = nginx_configuration(GatewaySettings.model_validate(URLS), HttpSettings(), HERE)
    for route in TABLE.routes:
        shown = route.path if route.fixed else f"~{route.pattern}"
        assert f'    "{shown}" kerma_{route.service};\n' in written
    assert "@" not in written.replace("kerma admin", "")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://jobs:8080", "nginx takes http://host:port only"),
        ("http://jobs:8080/prefix", "nginx takes http://host:port only"),
        ("http://jobs;x:8080", "nginx cannot be told"),
        ("http://$jobs:8080", "nginx cannot be told"),
    ],
)
def test_upstreams_that_nginx_cannot_be_told_are_refused(url: str, said: str) -> None:
    services = GatewaySettings.model_validate({**URLS, "jobs": url})
    with pytest.raises(SettingsError, match=said):
        nginx_configuration(services, HttpSettings(), HERE)


def test_other_values_cannot_leave_their_place() -> None:
    services, http = (
        GatewaySettings.model_validate(URLS),
        HttpSettings(origins=('http://x"; evil',)),
    )
    with pytest.raises(SettingsError):
        nginx_configuration(services, http, HERE)
    for listening in (Listening("8080;"), Listening("443", 'a"b', "k")):
        with pytest.raises(SettingsError):
            nginx_configuration(services, HttpSettings(), listening)


def test_a_certificate_makes_it_https() -> None:
    listening = Listening("443", "/etc/kerma/site.pem", "/etc/kerma/site.key")
    written = nginx_configuration(GatewaySettings.model_validate(URLS), HttpSettings(), listening)
    assert "    listen 443 ssl;\n" in written
    assert '    ssl_certificate_key "/etc/kerma/site.key";\n' in written


def test_a_base_url_that_is_none_is_named() -> None:
    with pytest.raises(SettingsError, match="KERMA_GATEWAY_JOBS: must be URLs"):
        load(GatewaySettings, **{**URLS, "jobs": "jobs:8080"})
