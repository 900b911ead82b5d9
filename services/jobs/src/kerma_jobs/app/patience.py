"""How long a job on a cluster may stay without news, and what ends it then.

Scripts die without a word, and what nobody reports is no event: only a timer ends such a job. A timer
that is due is set once more, briefly, before the job ends: after the service was down for long, it may
be due before the process manager has read that the job went on meanwhile. If it has not read that even
then, the command finds that the job was heard of more often than the process manager knows, and does
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from kerma_common.contracts.events import jobs
from kerma_common.process.manager import Timer
from kerma_jobs.domain.commands import EndOverdueJob

SECOND_LOOK = timedelta(minutes=10)
"""Longest time between a timer that is due and the end of its job."""
SILENCE, RESULTS = "silence", "results"
_AGAIN = "-again"
_TIMERS = (SILENCE, SILENCE + _AGAIN, RESULTS, RESULTS + _AGAIN)
REPORTS = (
    jobs.TasksReported,
    jobs.JobStateReported,
    jobs.JobArraysReported,
    jobs.JobLogReported,
    jobs.JobResultsAwaited,
)
"""Events by which a job on a cluster is heard of."""


@dataclass(frozen=True, slots=True)
class Patience:
    """The longest times without results once they are awaited, and without any report before."""

    results: timedelta = timedelta(hours=24)
    silence: timedelta = timedelta(days=7)

    def heard(self, awaited: bool, event: Any, at: datetime) -> tuple[Timer, ...]:
        """Return the timers after a submission or a report; ``awaited`` is what the job waits for.

        A log or an array says nothing about results: only the state of the job puts off their end.
        """
        further = (jobs.JobResultsAwaited, jobs.JobStateReported)
        if awaited and not isinstance(event, further):
            return ()
        name, due = (RESULTS, at + self.results) if awaited else (SILENCE, at + self.silence)
        others = (other for other in _TIMERS if other != name)
        return (Timer(name, due), *(Timer(other, None) for other in others))

    @staticmethod
    def satisfied() -> tuple[Timer, ...]:
        """Return the timers once results have come: nothing of the cluster is waited for."""
        return tuple(Timer(name, None) for name in _TIMERS)

    def due(
        self, timer: str, job_id: str, now: datetime, heard: int | None
    ) -> tuple[tuple[EndOverdueJob, ...], tuple[Timer, ...]]:
        """Return what follows from a timer that is due: commands and timers.

        ``heard`` is how often the job was heard of, None if that was never counted.
        """
        name = timer.removesuffix(_AGAIN)
        longest = self.results if name == RESULTS else self.silence
        if name == timer:
            return (), (Timer(name + _AGAIN, now + min(SECOND_LOOK, longest / 10)),)
        if name == RESULTS:
            code, since = "RESULTS_MISSING", None
            message = (
                "The tasks on the cluster have ended, but no results came within "
                f"{_hours(longest)} (KERMA_JOBS_RESULTS_HOURS)"
            )
        else:
            # progress is no event: whether there was some is looked up
            code, since = "CLUSTER_SILENT", now - longest
            message = (
                f"The cluster has reported nothing for {_hours(longest)} (KERMA_JOBS_SILENCE_HOURS)"
            )
        end = EndOverdueJob(job_id, code, message, now, since, heard)
        # the command may do nothing; then another follows
        return (end,), (Timer(name, now + longest / 8),)


def _hours(time: timedelta) -> str:
    return f"{time / timedelta(hours=1):g} hours"
