"""Earlier versions of the events of results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kerma_common.contracts.registry import upcaster


@upcaster("EstimatorMaterialised", 1)
def estimator_materialised(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Upcast version 1, which always listed every page in the event."""
    return {**data, "manifest_ref": None}
