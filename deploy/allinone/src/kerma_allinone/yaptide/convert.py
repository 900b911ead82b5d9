"""From the rows of a job to an event, and the blobs that it refers to.

Nothing here raises for what a row holds: what cannot be taken over is noted and left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from kerma_allinone.yaptide.documents import BadDocument, parsed, text_of
from kerma_allinone.yaptide.report import Note
from kerma_allinone.yaptide.results import Estimators
from kerma_allinone.yaptide.rows import DocumentRow, JobRow, JobRows, TaskRow
from kerma_common.contracts.events.jobs import JobImported
from kerma_common.contracts.imported import ImportedTask
from kerma_common.contracts.refs import Ref
from kerma_engines.adapter.packing import INPUT_MEDIA, encode_inputs
from kerma_engines.adapter.port import InputSet
from kerma_results.adapters.foreign_pages import Blob, Prepared, ref_of

ORIGIN = "yaptide"
MOST_TITLE = 2000
MOST_WORD = 64
MOST_NUMBER = 2**53
ENDED = frozenset({"COMPLETED", "FAILED", "CANCELED"})
_TASK_STATES = ENDED | {"UNKNOWN", "PENDING", "RUNNING", "MERGING_QUEUED", "MERGING_RUNNING"}
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
MOST_TEXTS = 512 << 20
"""Bytes that the inputs and logs of a job may have when they are decompressed."""
LAST_SECOND = 253_402_300_799
LOG_MEDIA = "application/json"

Documents = Mapping[tuple[str, int], bytes | None]
"""Columns by table and id. Those that are too large to be read are missing."""


@dataclass(slots=True)
class Made:
    """What a job becomes. ``rows`` counts what was taken over, by table."""

    job: JobImported
    estimators: list[Prepared]
    blobs: list[Blob]
    rows: dict[str, int]


@dataclass(slots=True)
class JobConversion:
    """The conversion of one job; ``names`` says that its estimators have the names of outputs."""

    source: JobRows
    owner: str
    documents: Documents
    now: datetime
    names: bool = True
    omissions: list[Note] = field(default_factory=list)
    changes: list[Note] = field(default_factory=list)
    blobs: list[Blob] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    text: int = 0

    def convert(self) -> Made:
        """Return the job as it is to be stored."""
        row = self.source.job
        inputs = self._inputs()
        project = inputs.get("input_json")
        tasks = self._tasks()
        estimators = self._estimators(project)
        state, failure, ended = self._end(row)
        merged = [task for task in tasks if task.state == "COMPLETED"]
        partial = state == "COMPLETED" and 0 < len(merged) < len(
            [task for task in tasks if task.state in ENDED]
        )
        job = JobImported(
            job_id=row.job_id,
            owner=self.owner,
            origin=ORIGIN,
            title=self._cut("title", row.title, MOST_TITLE),
            platform=self._cut("platform", row.platform, MOST_WORD),
            sim_type=self._cut("sim_type", row.sim_type, MOST_WORD),
            input_kind=self._cut("input_type", row.input_type, MOST_WORD),
            input_ref=self._input_ref(inputs),
            project_ref=None if project is None else self._keep(_json(project), LOG_MEDIA),
            log_ref=self._logs(),
            primaries=self._primaries(inputs, tasks),
            n_tasks=len(tasks),
            tasks=tasks,
            state=state,
            failure=failure,
            submitted_at=self._time(row, "start_time", row.start_time) or self.now,
            ended_at=ended,
            partial=partial,
            tasks_merged=len(merged) if partial else None,
            primaries_merged=sum(task.simulated for task in merged) if partial else None,
        )
        self.rows["Simulation"] = 1
        return Made(job, estimators, self.blobs, self.rows)

    def _end(self, row: JobRow) -> tuple[str, str, datetime | None]:
        """Return state, reason and time of the end; a job that had not ended fails now."""
        if row.job_state in ENDED:
            return row.job_state, "", self._time(row, "end_time", row.end_time)
        state = row.job_state[:MOST_WORD]
        self._change("Simulation", row.id, f"had not ended ({state}): it is FAILED here")
        reason = f"it had not ended when it was taken over from YAPTIDE; its state was {state}"
        return "FAILED", reason, self.now

    def _inputs(self) -> dict[str, Any]:
        """Return the first document of inputs that can be read; {} if there is none."""
        for row in self.source.inputs:
            found = self._document("Input", row)
            if not isinstance(found, dict):
                if found is not None:
                    self._skip("Input", row.id, "is not an object")
            elif "Input" in self.rows:
                self._skip("Input", row.id, "the job has another input, which is shown")
            else:
                self.rows["Input"] = 1
                shown = found
        return shown if "Input" in self.rows else {}

    def _input_ref(self, inputs: dict[str, Any]) -> Ref | None:
        if "Input" not in self.rows:
            return None
        files = inputs.get("input_files")
        files = files if isinstance(files, dict) else {}
        texts = {
            name: text if isinstance(text, str) else _text(text) for name, text in files.items()
        }
        engine = self.source.job.sim_type[:MOST_WORD].lower()
        packed = InputSet(engine=engine, files=texts, primaries=0, outputs=(), options={})
        return self._keep(encode_inputs(packed), INPUT_MEDIA)

    def _primaries(self, inputs: dict[str, Any], tasks: tuple[ImportedTask, ...]) -> int:
        found = inputs.get("number_of_all_primaries")
        if isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= MOST_NUMBER:
            return found
        return sum(task.requested for task in tasks)

    def _tasks(self) -> tuple[ImportedTask, ...]:
        found = tuple(self._task(row) for row in self.source.tasks)
        if found:
            self.rows["Task"] = len(found)
        return found

    def _task(self, row: TaskRow) -> ImportedTask:
        state = row.task_state
        if state not in _TASK_STATES:
            self._change("Task", row.id, f"has the unknown state {state[:MOST_WORD]}")
            state = "UNKNOWN"
        return ImportedTask(
            number=row.task_id,
            state=state,
            requested=row.requested_primaries,
            simulated=row.simulated_primaries,
            started_at=self._time(row, "start_time", row.start_time),
            ended_at=self._time(row, "end_time", row.end_time),
            updated_at=self._time(row, "last_update_time", row.last_update_time),
        )

    def _logs(self) -> Ref | None:
        """Return a blob of all logs; names of earlier rows win, as in YAPTIDE."""
        texts: dict[str, str] = {}
        for row in self.source.logs:
            found = self._document("Logfiles", row)
            if found is None:
                continue
            if not isinstance(found, dict):
                found = {"log.txt": found}
            for name, value in found.items():
                text = value if isinstance(value, str) else _text(value)
                if texts.get(name) != text:
                    texts[_free(name, texts)] = text
            self.rows["Logfiles"] = self.rows.get("Logfiles", 0) + 1
        return self._keep(_json(texts), LOG_MEDIA) if texts else None

    def _estimators(self, project: object) -> list[Prepared]:
        made = Estimators(self.source, self.documents, None if self.names else (project,))
        found, blobs = made.prepare()
        self.blobs += blobs
        self.omissions += made.omissions
        self.changes += made.changes
        self.rows |= made.rows
        return found

    def _document(self, table: str, row: DocumentRow) -> Any:
        """Return a document, None for a row without one or with one that is left out."""
        if (table, row.id) not in self.documents:
            self._skip(table, row.id, "is too large")
            return None
        try:
            text = text_of(self.documents[table, row.id])
            self.text += len(text)
            if self.text > MOST_TEXTS:
                raise BadDocument(f"the job has more than {MOST_TEXTS >> 20} MiB of such texts")
            found, _ = parsed(text)
        except BadDocument as bad:
            self._skip(table, row.id, str(bad))
            return None
        return found

    def _keep(self, body: bytes, media: str) -> Ref:
        self.blobs.append((body, media))
        return ref_of(self.blobs[-1])

    def _time(self, row: JobRow | TaskRow, column: str, seconds: float | None) -> datetime | None:
        if seconds is not None and 0 <= seconds <= LAST_SECOND:
            return datetime.fromtimestamp(seconds, UTC)
        table = "Simulation" if isinstance(row, JobRow) else "Task"
        if seconds is not None:
            self._change(table, row.id, f"{column} is not a time between 1970 and 9999")
        elif column == "start_time" and isinstance(row, JobRow):
            self._change(table, row.id, "has no start_time: it begins now")
        return None

    def _cut(self, column: str, text: str, most: int) -> str:
        if len(text) > most:
            self._change("Simulation", self.source.job.id, f"{column} is cut to {most} characters")
        return text[:most]

    def _skip(self, table: str, row: int, reason: str) -> None:
        self.omissions.append(Note(table, row, reason))

    def _change(self, table: str, row: int, reason: str) -> None:
        self.changes.append(Note(table, row, reason))


def refusal(job: JobRow) -> str | None:
    """Return why a job cannot be taken over at all."""
    if not _JOB_ID.fullmatch(job.job_id):
        return "its job_id has other characters than A-Z a-z 0-9 _ -, or more than 128"
    return None


def _free(name: str, texts: Mapping[str, str]) -> str:
    number, found = 1, name
    while found in texts:
        number += 1
        found = f"{name} ({number})"
    return found


def _text(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _json(value: Any) -> bytes:
    return orjson.dumps(value)
