"""The application factory of all services."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from kerma_common.http.answers import answer
from kerma_common.http.body.json_body import LargeBodies
from kerma_common.http.body.limits import Body, taken
from kerma_common.http.edge import BodyLimit, Cors, RequestScope
from kerma_common.http.forwarding import Proxies, Watched
from kerma_common.http.gate import Gate
from kerma_common.http.policy import Verifier, public
from kerma_common.http.refusals import handlers as problem
from kerma_common.http.route import KermaRoute, assert_policies
from kerma_common.http.text import PlainText
from kerma_common.projection.catch_up import CatchUp
from kerma_common.settings import HttpSettings
from kerma_common.telemetry import metrics

Health = Callable[[], Awaitable[Mapping[str, str]]]
"""Returns faults by part; empty if the service can work."""


def create_app(
    name: str,
    *,
    verifier: Verifier,
    health: Health,
    settings: HttpSettings,
    routers: Sequence[APIRouter] = (),
    catch_up: CatchUp | None = None,
    large_bodies: LargeBodies | None = None,
    proxies: Proxies | None = None,
) -> FastAPI:
    """Build the application of service `name`.

    Raises `ContractViolation` if a route lacks a policy. Health and metrics are below `/internal`,
    which a gateway does not forward. Other requests wait for `catch_up`, if given. Without
    `large_bodies`, larger JSON bodies get a 413. `proxies` are those that a gateway in the same
    process watches.
    """
    app = FastAPI(
        title=f"Kerma {name}",
        openapi_url=None,  # documents are generated at build time
        redirect_slashes=False,
    )
    app.state.verifier = verifier
    app.state.settings = settings
    app.state.large_bodies = large_bodies
    proxies = proxies or Proxies(settings.trusted_proxies)
    for router in (_internal(health, proxies), *routers):
        app.router.routes.extend(router.routes)
    problem.install(app)
    if catch_up is not None:
        app.add_middleware(Gate, catch_up=catch_up)
    streamed = {
        (method, route.path): settings.stream_limit
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute) and taken(route.endpoint) is Body.STREAM
        for method in route.methods or ()
    }
    app.add_middleware(BodyLimit, limit=settings.body_limit, streamed=streamed)
    # around the limit, which counts bodies by the address of the client
    if settings.trusted_proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.trusted_proxies))
    app.add_middleware(Watched, proxies=proxies)
    app.add_middleware(PlainText)
    app.add_middleware(RequestScope, service=name)
    methods = {m for route in app.router.routes for m in getattr(route, "methods", None) or ()}
    # Outermost, because error responses need CORS headers too.
    app.add_middleware(Cors, origins=settings.origins, methods=methods)
    assert_policies(app)
    return app


def _internal(health: Health, proxies: Proxies) -> APIRouter:
    router = APIRouter(route_class=KermaRoute, prefix="/internal")

    @router.get("/healthz")
    @public()
    async def alive() -> Response:
        return answer("alive")

    @router.get("/readyz")
    @public()
    async def ready() -> Response:
        faults = await health()
        if faults:
            return answer("not ready", 503, faults=dict(faults))
        if proxies.warnings:
            return answer("ready", warnings=dict(proxies.warnings))
        return answer("ready")

    @router.get("/metrics")
    @public()
    async def measured(_request: Request) -> Response:
        return Response(metrics.render(), media_type="text/plain; version=0.0.4")

    return router
