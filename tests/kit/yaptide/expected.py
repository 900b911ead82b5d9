"""What YAPTIDE answers about a job, from its rows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kerma_common.http.answers import http_date
from kit.yaptide.database import Old


def listed(job: Old) -> dict[str, Any]:
    """Return the entry of ``GET /user/simulations``."""
    return {
        "job_id": job.job_id,
        "title": job.title,
        "start_time": http_date(job.start),
        "end_time": http_date(job.end),
        "metadata": {
            "platform": job.platform,
            "server": "Yaptide",
            "input_type": "EDITOR",
            "sim_type": job.sim_type,
        },
    }


def tasks(job: Old) -> list[dict[str, Any]]:
    """Return the tasks of ``GET /jobs``, with their numbers instead of the keys of their rows."""
    found = []
    for row in job.tasks:
        shown = {
            "task_id": row["task_id"],
            "task_state": row["task_state"],
            "requested_primaries": row["requested_primaries"],
            "simulated_primaries": row["simulated_primaries"],
            "last_update_time": http_date(row["last_update_time"]),
        }
        for name in ("start_time", "end_time"):
            moment: datetime | None = row[name]
            if moment is not None:
                shown[name] = http_date(moment)
        found.append(shown)
    return found


def results(job: Old) -> list[dict[str, Any]]:
    """Return ``estimators`` of ``GET /results``."""
    return [
        {"name": name, "metadata": metadata, "pages": pages}
        for name, metadata, pages in job.estimators
    ]


def estimators(job: Old) -> list[dict[str, Any]]:
    """Return ``estimators_metadata`` of ``GET /estimators``."""
    return [
        {
            "name": name,
            "pages_metadata": [
                {
                    "page_number": int(page["metadata"]["page_number"]),
                    "page_name": page["metadata"]["name"],
                    "page_dimension": page["dimensions"],
                }
                for page in pages
            ],
        }
        for name, _, pages in job.estimators
    ]


def logs(job: Old) -> dict[str, str]:
    """Return the texts of all rows."""
    return {name: text for row in job.logs for name, text in row.items()}
