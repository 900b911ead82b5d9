"""``kerma admin``: commands of operators, on a local data directory or by environment settings."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from kerma_client.commands import listing
from kerma_client.commands.operators import (
    all_jobs,
    batch_jobs,
    keys,
    logins,
    mending,
    users,
    yaptide,
)
from kerma_client.commands.options import DEFAULT_DATA, AsJson, Data
from kerma_client.local import use_settings

app = typer.Typer(help="Operate a running Kerma: streams, read models, clusters, accounts, jobs.")
streams = typer.Typer(help="Streams of the event log.")
projections = typer.Typer(help="Read models.")
app.add_typer(streams, name="streams")
app.add_typer(projections, name="projections")
app.add_typer(users.app, name="users")
app.add_typer(logins.sessions, name="sessions")
app.add_typer(logins.tokens, name="tokens")
app.add_typer(all_jobs.jobs, name="jobs")
app.add_typer(all_jobs.tasks, name="tasks")
app.add_typer(keys.app, name="keys")
mending.add_commands(app, projections)
app.command("import-yaptide")(yaptide.import_yaptide)
batch_jobs.add_commands(app)


@streams.command("apply")
def apply_streams(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Create missing streams and change those that differ from their definition."""
    from kerma_allinone.admin import system as admin

    use_settings(data)
    changes = asyncio.run(admin.apply())
    sentence = "\n".join(changes) or "nothing to do"
    listing.done(sentence, as_json=as_json, changes=list(changes))


@projections.command("rebuild")
def rebuild(service: str, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Rebuild the read models of a service from the first event, then replace the present ones."""
    from kerma_allinone.admin import system as admin

    use_settings(data)
    columns = {
        "table": "table",
        "before": "rows before",
        "after": "rows after",
        "equal": "equal",
    }
    found = listing.attributes(tuple(columns), asyncio.run(admin.rebuild_service(service)))
    same = {True: "yes", False: "no", None: "not comparable"}
    if not as_json:
        found = [{**row, "equal": same[row["equal"]]} for row in found]
    listing.rows(columns, found, as_json=as_json)


@app.command("add-cluster")
def add_cluster(
    name: str,
    host: Annotated[str, typer.Option(help="Host to reach by SSH; default the name.")] = "",
    port: Annotated[int, typer.Option(help="Port of its SSH server.")] = 22,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Register a cluster."""
    from kerma_allinone.admin import system as admin

    use_settings(data)
    asyncio.run(admin.add_cluster(name, host or name, port))
    listing.done(f"{name} is registered", as_json=as_json, name=name, registered=True)


@app.command("list-clusters")
def list_clusters(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Show the registered clusters; the first one is the default."""
    from kerma_allinone.admin import system as admin

    use_settings(data)
    columns = {"name": "cluster", "host": "host", "port": "port", "scheduler": "scheduler"}
    found = listing.attributes(tuple(columns), asyncio.run(admin.clusters()))
    listing.rows(columns, found, as_json=as_json)


@app.command("remove-cluster")
def remove_cluster(name: str, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Remove a cluster: it gets no more work."""
    from kerma_allinone.admin import system as admin

    use_settings(data)
    asyncio.run(admin.remove_cluster(name))
    listing.done(f"{name} is removed", as_json=as_json, name=name, removed=True)


@app.command("gateway-config")
def gateway_config(
    listen: Annotated[str, typer.Option(help="Address and port for nginx to listen on.")] = "8080",
    certificate: Annotated[str | None, typer.Option(help="Certificate, for HTTPS.")] = None,
    key: Annotated[str | None, typer.Option(help="Private key of the certificate.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the configuration of an nginx gateway, from the settings KERMA_GATEWAY_ and KERMA_HTTP_."""
    from kerma_allinone.admin.gateway import gateway_configuration

    if (certificate is None) != (key is None):
        raise typer.BadParameter("a certificate and its key are given together")
    made = gateway_configuration(listen, certificate, key).rstrip("\n")
    listing.done(made, as_json=as_json, configuration=made)
