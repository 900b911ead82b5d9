"""Rules of clusters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kerma_batch_gateway.domain.cluster import CLUSTER, MAX_NAME, AddCluster, Cluster, RemoveCluster
from kerma_common.contracts.events import batch as events
from kerma_common.domain import Missing, Rejected

ADD = AddCluster("id", "Ares", "login.ares.example", 22, "slurm")
REGISTERED = events.ClusterRegistered(
    cluster="id", name="Ares", host="login.ares.example", port=22, scheduler="slurm"
)
REMOVED = events.ClusterRemoved(cluster="id")


def given(*history: object) -> Cluster:
    return CLUSTER.fold(Cluster(), history)


def test_a_cluster_comes_and_goes_and_comes_again() -> None:
    assert CLUSTER.decide(given(), ADD) == (REGISTERED,)
    assert CLUSTER.decide(given(REGISTERED), RemoveCluster("id")) == (REMOVED,)
    assert CLUSTER.decide(given(REGISTERED, REMOVED), ADD) == (REGISTERED,)


def test_it_is_registered_once() -> None:
    with pytest.raises(Rejected) as refused:
        CLUSTER.decide(given(REGISTERED), ADD)
    assert refused.value.code == "CLUSTER_EXISTS"


@pytest.mark.parametrize("history", [(), (REGISTERED, REMOVED)])
def test_only_a_registered_one_is_removed(history: tuple[object, ...]) -> None:
    with pytest.raises(Missing) as refused:
        CLUSTER.decide(given(*history), RemoveCluster("id"))
    assert refused.value.code == "UNKNOWN_CLUSTER"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"name": ""}, "NAME"),
        ({"name": "x" * (MAX_NAME + 1)}, "NAME"),
        ({"name": "a\nb"}, "NAME"),
        ({"host": ""}, "HOST"),
        ({"host": "-oProxyCommand=x"}, "HOST"),
        ({"host": "a b"}, "HOST"),
        ({"host": "a" * 254}, "HOST"),
        ({"port": 0}, "PORT"),
        ({"port": 65536}, "PORT"),
    ],
)
def test_what_cannot_be_reached_is_refused(change: dict[str, Any], code: str) -> None:
    with pytest.raises(Rejected) as refused:
        CLUSTER.decide(given(), replace(ADD, **change))
    assert refused.value.code == code


@pytest.mark.parametrize(
    "change", [{"name": "x" * MAX_NAME}, {"host": "a"}, {"host": "10.0.0.1"}, {"port": 65535}]
)
def test_the_largest_and_smallest_are_accepted(change: dict[str, Any]) -> None:
    (event,) = CLUSTER.decide(given(), replace(ADD, **change))
    assert isinstance(event, events.ClusterRegistered)
