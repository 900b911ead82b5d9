"""The servers that laptop mode and the tests run as child processes.

`nats_server(dir)`, `nats_cluster(dir)` and `postgres_server(dir)` are async context managers; the
data in `dir` survives restarts, the children do not survive their parent.
"""

from kerma_allinone.children.nats import NatsChild, NatsCluster, nats_cluster, nats_server
from kerma_allinone.children.postgres import PostgresChild, postgres_server
from kerma_allinone.children.process import Child, ChildError, DirectoryInUseError, directory_lock

__all__ = [
    "Child",
    "ChildError",
    "DirectoryInUseError",
    "NatsChild",
    "NatsCluster",
    "PostgresChild",
    "directory_lock",
    "nats_cluster",
    "nats_server",
    "postgres_server",
]
