"""Generate files from the event registry, the routes, the read models and the client."""

from __future__ import annotations

import re
from pathlib import Path

from kerma_allinone.assembly import SERVICES
from kerma_allinone.edge.deriving import TABLE_MODULE, derived_routes, table_module
from kerma_allinone.edge.openapi import OPENAPI, SERVED, openapi_document, routes_of
from kerma_common.contracts.document import documents, write_documents
from kerma_tools.golden import write_missing, write_read_models
from kerma_tools.paths import ROOT
from kerma_tools.twins import synchronous_client

_ROW = re.compile(r"^\| Routes \|.*$", re.MULTILINE)


def generate_all() -> list[Path]:
    """Write all generated files; return those that changed, relative to the clone.

    Raises RevisionNotRaisedError when the tables of a read model changed and its revision did not.
    """
    openapi = openapi_document()
    made = {**documents(), OPENAPI: openapi}
    changed = [*write_documents(ROOT / "docs", made), *write_missing(), *write_read_models()]
    changed += write_documents(ROOT, {**route_tables(), **gateway_table(), SERVED: openapi})
    changed += write_documents(ROOT, synchronous_client())
    return [path.relative_to(ROOT) for path in changed]


def gateway_table() -> dict[str, bytes]:
    """Return the module with the table of routes, by path relative to the clone."""
    return {TABLE_MODULE: table_module(derived_routes())}


def route_tables() -> dict[str, bytes]:
    """Return each service's README with its current route table, by path relative to the clone."""
    made = {}
    for name, part in SERVICES.items():
        path = f"services/{part.package.removeprefix('kerma_').replace('_', '-')}/README.md"
        routes = ", ".join(f"`{route}`" for route in routes_of(name))
        row = f"| Routes | {routes} |"
        made[path] = _ROW.sub(row, (ROOT / path).read_text()).encode()
    return made
