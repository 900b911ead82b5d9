"""Results as scripts on clusters post them, and the keys by which they do."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx

from kerma_common.clock import system_clock
from kerma_common.security.update_keys import UpdateKeys, Verb
from kit.programs.tally import OUTPUTS
from kit.running.worlds.results_world import World

SECRET = bytes(range(32))
SETTING = ("KERMA_UPDATE_KEYS_SECRET", base64.b64encode(SECRET).decode())
"""The environment variable that a service with these keys needs."""
KEYS = UpdateKeys((SECRET,), timedelta(days=7), system_clock)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A job on a cluster, and what its scripts know."""

    job_id: str
    simulation_id: int

    def key(self, *verbs: Verb, keys: UpdateKeys = KEYS) -> str:
        """Issue a key for the job."""
        return keys.issue(self.job_id, self.simulation_id, frozenset(verbs or Verb))[0]

    def body(self, estimators: object | None = None, **other: Any) -> dict[str, Any]:
        """Return a body of ``POST /results``."""
        return {
            "simulation_id": self.simulation_id,
            "update_key": self.key(),
            "estimators": estimators if estimators is not None else estimators_of(),
            **other,
        }

    async def post(
        self, client: httpx.AsyncClient, estimators: object | None = None, **other: Any
    ) -> httpx.Response:
        """Post results."""
        return await client.post("/results", content=json.dumps(self.body(estimators, **other)))


async def delivery(world: World, job_id: str, names: Sequence[str] = OUTPUTS) -> Delivery:
    """Submit a job that runs on a cluster."""
    return Delivery(job_id, await world.submit(job_id, platform="BATCH", names=names))


def page(number: int = 0, values: Sequence[float] = (0.5,), **other: Any) -> dict[str, Any]:
    """Return a page without axes, or with one for several values."""
    made: dict[str, Any] = {
        "dimensions": 0 if len(values) == 1 else 1,
        "data": {"name": "DOSE", "unit": "MeV/g", "values": list(values)},
        "metadata": {"page_number": str(number), "name": "DOSE", "dettyp": "DOSE", "unit": "MeV/g"},
    }
    if len(values) > 1:
        centres = [0.25 + 0.5 * n for n in range(len(values))]
        made["axis_dim1"] = {"name": "Position (Z)", "unit": "cm", "values": centres}
    return {**made, **other}


def a_map(number: int = 0) -> dict[str, Any]:
    """Return a page with two axes, of 2 and 3 bins."""
    made = page(number, [0, 1e-300, 2.5, -3.75, 1 / 3, 1e300])
    made["axis_dim2"] = {"name": "Position (X)", "unit": "cm", "values": [1.0, 2.0, 4.0]}
    made["axis_dim1"]["values"] = [0.25, 0.75]
    return {**made, "dimensions": 2}


def estimator(name: str, *pages: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """Return an estimator, with a page if none is given."""
    said = {"mc_code_version": "v1.0.1", "number_of_primaries": "1666", **metadata}
    return {"name": name, "metadata": said, "pages": list(pages or (page(),))}


def estimators_of(names: Sequence[str] = OUTPUTS) -> list[dict[str, Any]]:
    """Return an estimator per output, each with other numbers, named as files of tasks are."""
    return [
        estimator(f"{name}_", page(1, [n + 0.25, 7.5]), a_map(0), page(12, [float(n)]))
        for n, name in enumerate(names)
    ]
