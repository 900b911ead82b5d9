"""The test servers themselves: usable from tests on other event loops, and isolated."""

import nats
import psycopg

from kerma_allinone.children import NatsChild


async def test_databases_are_fresh_and_reachable(postgres_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(postgres_url) as connection:
        found = await connection.execute(
            "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
        )
        assert await found.fetchone() == (0,)


async def test_the_server_is_the_one_started(nats_url: str, nats_child: NatsChild) -> None:
    client = await nats.connect(nats_url)
    assert client._server_info["server_name"] == nats_child.server_name
    assert client.connected_server_version.major == 2
    assert (await client.jetstream().account_info()).streams == 0
    await client.close()


async def test_the_cluster_has_three_members(nats_cluster_url: str) -> None:
    urls = nats_cluster_url.split(",")
    names = set()
    for url in urls:
        client = await nats.connect(url)
        names.add(client._server_info["server_name"])
        await client.close()
    assert len(names) == 3
