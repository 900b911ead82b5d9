"""``kerma admin``: commands of operators, on a local data directory or by environment settings."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from kerma_client.commands import keys, mending, users, yaptide
from kerma_client.commands.options import DEFAULT_DATA, Data
from kerma_client.local import use_settings
from kerma_client.terminal import console, say, table

app = typer.Typer(help="Operate a running Kerma: streams, read models, clusters, accounts.")
streams = typer.Typer(help="Streams of the event log.")
projections = typer.Typer(help="Read models.")
app.add_typer(streams, name="streams")
app.add_typer(projections, name="projections")
app.add_typer(users.app, name="users")
app.add_typer(keys.app, name="keys")
mending.add_commands(app, projections)
app.command("import-yaptide")(yaptide.import_yaptide)


@streams.command("apply")
def apply_streams(data: Data = DEFAULT_DATA) -> None:
    """Create missing streams and change those that differ from their definition."""
    from kerma_allinone.admin import system as admin

    use_settings(data)
    for line in asyncio.run(admin.apply()) or ("nothing to do",):
        say(line)


@projections.command("rebuild")
def rebuild(service: str, data: Data = DEFAULT_DATA) -> None:
    """Rebuild the read models of a service from the first event, then replace the present ones."""
    from kerma_allinone.admin import system as admin

    use_settings(data)
    same = {True: "yes", False: "no", None: "not comparable"}
    rows = (
        (found.table, str(found.before), str(found.after), same[found.equal])
        for found in asyncio.run(admin.rebuild_service(service))
    )
    console().print(table(("table", "rows before", "rows after", "equal"), rows))


@app.command("add-cluster")
def add_cluster(
    name: str,
    host: Annotated[str, typer.Option(help="Host to reach by SSH; default the name.")] = "",
    port: Annotated[int, typer.Option(help="Port of its SSH server.")] = 22,
    data: Data = DEFAULT_DATA,
) -> None:
    """Register a cluster."""
    from kerma_allinone.admin import system as admin

    use_settings(data)
    asyncio.run(admin.add_cluster(name, host or name, port))
    say(f"{name} is registered")


@app.command("list-clusters")
def list_clusters(data: Data = DEFAULT_DATA) -> None:
    """Show the registered clusters; the first one is the default."""
    from kerma_allinone.admin import system as admin

    use_settings(data)
    rows = (
        (found.name, found.host, str(found.port), found.scheduler)
        for found in asyncio.run(admin.clusters())
    )
    console().print(table(("cluster", "host", "port", "scheduler"), rows))


@app.command("remove-cluster")
def remove_cluster(name: str, data: Data = DEFAULT_DATA) -> None:
    """Remove a cluster: it gets no more work."""
    from kerma_allinone.admin import system as admin

    use_settings(data)
    asyncio.run(admin.remove_cluster(name))
    say(f"{name} is removed")


@app.command("gateway-config")
def gateway_config(
    listen: Annotated[str, typer.Option(help="Address and port for nginx to listen on.")] = "8080",
    certificate: Annotated[str | None, typer.Option(help="Certificate, for HTTPS.")] = None,
    key: Annotated[str | None, typer.Option(help="Private key of the certificate.")] = None,
) -> None:
    """Print the configuration of an nginx gateway, from the settings KERMA_GATEWAY_ and KERMA_HTTP_."""
    from kerma_allinone.admin.gateway import gateway_configuration

    if (certificate is None) != (key is None):
        raise typer.BadParameter("a certificate and its key are given together")
    say(gateway_configuration(listen, certificate, key).rstrip("\n"))
