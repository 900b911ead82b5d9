"""The servers laptop mode and the tests run as child processes.

`nats_server(dir)`, `nats_cluster(dir)` and `postgres_server(dir)` are async context managers; the
data in `dir` survives restarts, the children do not survive their parent.
"""

from kerma_allinone.child import Child, ChildError, DirectoryInUseError, directory_lock
from kerma_allinone.nats_child import NatsChild, NatsCluster, nats_cluster, nats_server
from kerma_allinone.postgres_child import PostgresChild, postgres_server

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
