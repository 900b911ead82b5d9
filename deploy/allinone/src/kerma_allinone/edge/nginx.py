"""The configuration of an nginx gateway, from the table of routes and the settings.

nginx passes on every path as the client wrote it, so that a service refuses the spellings that
could mean two things, and answers everything itself that can be answered without a service in the
words of a service.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.responses import Response

from kerma_allinone.edge.gateway import AWAY, READ_SECONDS, GatewaySettings
from kerma_allinone.edge.routing import FALLBACK, INTERNAL, TABLE, RouteTable
from kerma_common.http.answers import answer
from kerma_common.http.body.json_body import LARGE
from kerma_common.http.edge import CORS_EXPOSED
from kerma_common.http.refusals.forms import NATIVE, refusal, refused_as
from kerma_common.http.server.protocol import NO_HTTP, TOO_SLOW
from kerma_common.settings import HttpSettings, SettingsError

KINDS = {"413": "too-large", "500": "internal", "503": "unavailable"}
"""Kinds of problems; other refusals come before the path is known, and are the same for all."""
ONCE = ("/auth/register", "/v1/users/me/password")
"""Paths of PUT whose second request is refused because the first one succeeded."""
_CONFIGURATION = """\
# Gateway of Kerma. Written by `kerma admin gateway-config`; include it in http { }.

map $http_x_request_id $kerma_request_id {
    default $request_id;
    "~^[A-Za-z0-9._-]{1,64}$" $http_x_request_id;
}
# Browsers read an answer of nginx itself only with these headers; services add their own.
map $http_origin $kerma_listed {
    default "";
@ORIGINS@}
# Every port of the request's host, but no page that came by plain HTTP where this is served over HTTPS.
map "$scheme $host $http_origin" $kerma_origin {
    default $kerma_listed;
    "~*^http ([^ ]+) https?://\\1(:[0-9]+)?$" $http_origin;
    "~*^https ([^ ]+) https://\\1(:[0-9]+)?$" $http_origin;
}
map $kerma_origin $kerma_credentials {
    default "true";
    "" "";
}
map $kerma_origin $kerma_exposed {
    default "@EXPOSED@";
    "" "";
}
# Refusals of the native interface have a form of their own.
map $uri $kerma_form {
    default "";
    "~^@NATIVE@(/|$)" "-native";
}
# Which service answers a path; patterns are tried in this order.
map $uri $kerma_service {
    default kerma_@FALLBACK@;
@PATHS@}
@UPSTREAMS@
server {
    listen @LISTEN@;
@TLS@    server_tokens off;
    keepalive_timeout 75s;
    client_header_timeout @HEADER_SECONDS@s;
    client_body_timeout 60s;
    large_client_header_buffers 4 @HEADER_LIMIT@;
    client_max_body_size @SMALL@;
@ERRORS_SMALL@
    gzip on;
    gzip_types application/json;
    gzip_min_length 1024;
    gzip_proxied any;
    gzip_vary on;

    proxy_http_version 1.1;
    proxy_connect_timeout 1s;
    proxy_read_timeout @READ_SECONDS@s;
    # A POST goes to another replica only if nothing of it was sent. nginx repeats PUT and DELETE:
    # ours may be repeated, except those with a location of their own below.
    proxy_next_upstream error timeout http_503;
    proxy_next_upstream_tries 2;
    proxy_next_upstream_timeout 10s;
    # Who the client is and how it came is said anew: the client may have made it up.
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Host "";
    proxy_set_header X-Real-IP "";
    proxy_set_header Forwarded "";
    proxy_set_header X-Request-Id $kerma_request_id;
    proxy_set_header Connection "";

    location / {
        proxy_pass http://$kerma_service;
    }
@LARGE_PATHS@@ONCE@    # For operators inside the system: nothing is there, as at any unknown path.
    location ^~ @INTERNAL@ {
        proxy_pass http://kerma_@FALLBACK@/nowhere;
    }
@REFUSALS@}
"""


@dataclass(frozen=True, slots=True)
class Listening:
    """Where nginx listens; with a certificate and its key, for HTTPS."""

    address: str
    certificate: str | None = None
    key: str | None = None


def nginx_configuration(
    services: GatewaySettings,
    http: HttpSettings,
    listening: Listening,
    table: RouteTable = TABLE,
) -> str:
    """Return the configuration. Raises SettingsError for a value that nginx cannot be told."""
    small = min(LARGE, http.body_limit)
    tls = (
        [
            f"    ssl_certificate {_quoted(listening.certificate)};\n",
            f"    ssl_certificate_key {_quoted(listening.key)};\n",
        ]
        if listening.certificate and listening.key
        else []
    )
    values = {
        "NATIVE": NATIVE,
        "ORIGINS": "".join(f"    {_quoted(o)} $http_origin;\n" for o in http.origins),
        "EXPOSED": CORS_EXPOSED,
        "FALLBACK": FALLBACK,
        "PATHS": _paths(table),
        "UPSTREAMS": "".join(_upstream(name, services) for name in GatewaySettings.model_fields),
        "LISTEN": _word(listening.address) + (" ssl" if tls else ""),
        "TLS": "".join(tls),
        "HEADER_SECONDS": f"{http.header_seconds:.0f}",
        "HEADER_LIMIT": str(http.header_limit),
        "SMALL": str(small),
        "ERRORS_SMALL": _errors("    ", small),
        "READ_SECONDS": f"{READ_SECONDS:.0f}",
        "LARGE_PATHS": "".join(
            _large(path, limit, streamed=limit == http.stream_limit)
            for path, limit in _large_paths(table, http).items()
        ),
        "ONCE": "".join(_once(path) for path in ONCE),
        "INTERNAL": INTERNAL,
        "REFUSALS": _refusals(http, sorted({small, http.body_limit, http.stream_limit})),
    }
    text = _CONFIGURATION
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _paths(table: RouteTable) -> str:
    lines = []
    for path, (route, *_) in table.paths.items():
        shown = path if route.fixed else f"~{route.pattern}"
        lines.append(f"    {_quoted(shown)} kerma_{route.service};\n")
    return "".join(lines)


def _upstream(name: str, services: GatewaySettings) -> str:
    # nginx never counts a replica as gone: one that refuses costs nothing, and one that has just
    # started would get a single request until that has its answer
    servers = "".join(
        f"    server {_server(name, url)} max_fails=0;\n" for url in services.replicas(name)
    )
    return f"upstream kerma_{name} {{\n    zone kerma_{name} 64k;\n{servers}    keepalive 32;\n}}\n"


def _server(name: str, url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.path.strip("/") or parts.query or parts.username:
        raise SettingsError(f"KERMA_GATEWAY_{name.upper()}: nginx takes http://host:port only")
    return _word(parts.netloc if parts.port else f"{parts.netloc}:80")


def _large_paths(table: RouteTable, http: HttpSettings) -> dict[str, int]:
    """Return the limits of bodies that may be large, by path."""
    return {
        path: http.stream_limit if any(route.streamed for route in routes) else http.body_limit
        for path, routes in table.paths.items()
        if any(route.large for route in routes)
    }


def _large(path: str, limit: int, *, streamed: bool) -> str:
    errors = _errors("        ", limit)
    how = "=" if "{" not in path else "~"
    shown = path if how == "=" else next(r.pattern for r in TABLE.paths[path])
    # what is read piece by piece needs no copy on nginx's disk
    errors += "        proxy_request_buffering off;\n" if streamed else ""
    return (
        f"    location {how} {_quoted(shown)} {{\n        client_max_body_size {limit};\n{errors}"
        "        proxy_pass http://$kerma_service;\n    }\n"
    )


def _once(path: str) -> str:
    return (
        f"    location = {_quoted(path)} {{\n        proxy_next_upstream off;\n"
        "        proxy_pass http://$kerma_service;\n    }\n"
    )


def _errors(indent: str, limit: int) -> str:
    """Return where nginx finds its own answers: a block that sets one inherits none."""
    pages = ["400 /.kerma/400", "408 /.kerma/408", "414 494 =431 /.kerma/431"]
    form = "$kerma_form"
    pages += [f"413 /.kerma/413-{limit}{form}", f"500 /.kerma/500{form}"]
    pages += [f"502 504 =503 /.kerma/503{form}"]
    return "".join(f"{indent}error_page {page};\n" for page in pages)


def _refusals(http: HttpSettings, limits: list[int]) -> str:
    texts = {
        "400": NO_HTTP,
        "408": TOO_SLOW,
        "431": f"The head of the request is larger than {http.header_limit} bytes",
        "500": "Internal Server Error",
        "503": AWAY,
        **{f"413-{limit}": f"The body is larger than {limit} bytes" for limit in limits},
    }
    forms = [(name, answer(text)) for name, text in texts.items()]
    with refused_as(NATIVE):
        forms += [
            (f"{name}-native", refusal(KINDS[status], int(status), text))
            for name, text in texts.items()
            if (status := name.partition("-")[0]) in KINDS
        ]
    return "".join(_refusal(name, form) for name, form in forms)


def _refusal(name: str, form: Response) -> str:
    status = name.partition("-")[0]
    headers = {
        "X-Request-Id": "$kerma_request_id",
        "X-Content-Type-Options": "nosniff",
        "Access-Control-Allow-Origin": "$kerma_origin",
        "Access-Control-Allow-Credentials": "$kerma_credentials",
        "Access-Control-Expose-Headers": "$kerma_exposed",
        "Vary": "Origin",
        **({"Retry-After": "1"} if status == "503" else {}),
    }
    lines = [f"add_header {header} {value} always;" for header, value in headers.items()]
    lines += [f"return {status} '{bytes(form.body).decode()}';"]
    inside = "".join(f"        {line}\n" for line in lines)
    return (
        f"    location = /.kerma/{name} {{\n        internal;\n"
        f"        default_type {form.media_type};\n{inside}    }}\n"
    )


def _quoted(value: str | None) -> str:
    """Return a parameter in quotes. Raises SettingsError for what could end them."""
    text = value or ""
    if any(sign in text for sign in '"\n\r\x00') or text.endswith("\\"):
        raise SettingsError(f"nginx cannot be told {text!r}")
    return f'"{text}"'


def _word(value: str) -> str:
    """Return a parameter that needs no quotes. Raises SettingsError for any other."""
    if not value or any(sign in value for sign in " \t\r\n\"';{}$\\#"):
        raise SettingsError(f"nginx cannot be told {value!r}")
    return value
