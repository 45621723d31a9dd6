"""Batches of Vertex AI: requests read from Cloud Storage, answers written there, in whatever order they were done."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from starlette.responses import Response

from ragkit_eval.twin import storage
from ragkit_eval.twin.exchange import Call
from ragkit_eval.twin.gemini import find_model
from ragkit_eval.twin.gemini_batches import LIFETIME, work_off

PARENT = "/{version}/projects/{project}/locations/{location}/batchPredictionJobs"
MOST_REQUESTS = 200_000
LABEL = re.compile(r"[a-z][a-z0-9_-]{0,62}")
LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
FILTER = re.compile(r'display_?[nN]ame="([^"]*)"')
OPEN = ("JOB_STATE_PENDING", "JOB_STATE_RUNNING", "JOB_STATE_CANCELLING")


@dataclass(slots=True)
class VertexJob:
    """A batch; `lines` are the requests as they stood in the file when it was read."""

    name: str
    call: Call
    model: str
    body: Mapping[str, Any]
    created: datetime
    ends: datetime
    state: str = "JOB_STATE_PENDING"
    lines: list[dict[str, Any]] = field(default_factory=list)
    cancelled: datetime | None = None
    ended: datetime | None = None
    directory: str = ""
    succeeded: int = 0
    failed: int = 0
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            "name": self.name,
            "displayName": self.body["displayName"],
            "model": self.body["model"],
            "inputConfig": self.body["inputConfig"],
            "outputConfig": self.body["outputConfig"],
            "state": self.state,
            "createTime": self.created.isoformat(),
            "updateTime": (self.ended or self.created).isoformat(),
        }
        if self.error:
            told["error"] = {"code": 3, "message": self.error}
        if self.directory:
            told["outputInfo"] = {"gcsOutputDirectory": self.directory}
            done = {"successfulCount": self.succeeded, "failedCount": self.failed}
            told["completionStats"] = {name: str(count) for name, count in done.items() if count}
        return told | ({"endTime": self.ended.isoformat()} if self.ended else {})


async def create(call: Call) -> Response:
    """POST .../batchPredictionJobs"""
    body, params = call.body, call.request.path_params
    source, target = body.get("inputConfig") or {}, body.get("outputConfig") or {}
    uris = (source.get("gcsSource") or {}).get("uris") or []
    if source.get("instancesFormat") != "jsonl" or len(uris) != 1 or not uris[0].startswith(storage.SCHEME):
        raise call.reject("inputConfig: one JSONL file in Cloud Storage is allowed")
    prefix = str((target.get("gcsDestination") or {}).get("outputUriPrefix") or "")
    if target.get("predictionsFormat") != "jsonl" or not prefix.startswith(storage.SCHEME):
        raise call.reject("outputConfig: a place in Cloud Storage is needed")
    if not body.get("displayName"):
        raise call.reject("displayName is required")
    model = find_model(call, str(body.get("model")).removeprefix("publishers/google/models/")).id
    now = call.world.clock.now()
    parent = f"projects/{params['project']}/locations/{params['location']}/batchPredictionJobs"
    name = f"{parent}/{call.world.new_id('batch')}"
    job = VertexJob(name, call, model, body, now, now + timedelta(seconds=call.world.options.batch_seconds))
    job.error = _read(job, uris[0])
    if job.error:
        job.state, job.ended = "JOB_STATE_FAILED", now
    else:
        call.world.later(lambda: settle(job))
    call.world.shelf("vertex_batches")[name] = job
    return await call.answer({**job.to_json(), "state": "JOB_STATE_PENDING"})


def _read(job: VertexJob, uri: str) -> str:
    """Take the requests; what is wrong with their file, if anything is."""
    content = storage.read(job.call.world, uri)
    if content is None:
        return f"Failed to read {uri}: no such object."
    try:
        job.lines = [json.loads(line) for line in content.decode().splitlines() if line.strip()]
        requests = [line["request"] for line in job.lines]
    except (ValueError, KeyError, TypeError):
        return "Failed to parse the input: each line is an object with a request."
    if not 1 <= len(requests) <= MOST_REQUESTS:
        return f"The input has {len(requests)} requests: between 1 and {MOST_REQUESTS} are allowed."
    labels = [pair for request in requests for pair in (request.get("labels") or {}).items()]
    bad = next((it for it in labels if not (LABEL.fullmatch(it[0]) and LABEL_VALUE.fullmatch(str(it[1])))), None)
    return f"The label {bad} is not made of lower-case letters, digits, _ and -." if bad else ""


def settle(job: VertexJob) -> bool:
    """Work off what is due; whether the job is done. The last request is answered first."""
    world = job.call.world
    deadline = job.created + LIFETIME
    stop = min(job.ends, job.cancelled or deadline, deadline)
    if world.clock.now() < stop:
        return False
    due = [(line, _due(job, number)) for number, line in enumerate(job.lines) if _due(job, number) <= stop]
    rows = [_row(job, line, at) for line, at in due]
    job.ended = stop
    job.state = "JOB_STATE_CANCELLED" if job.cancelled else "JOB_STATE_SUCCEEDED"
    if not job.cancelled and job.ends > deadline:
        job.state = "JOB_STATE_EXPIRED"
    if rows:
        prefix = str(job.body["outputConfig"]["gcsDestination"]["outputUriPrefix"]).rstrip("/")
        job.directory = f"{prefix}/prediction-model-{job.created:%Y-%m-%dT%H:%M:%S}Z"
        text = "".join(json.dumps(row) + "\n" for row in reversed(rows))
        storage.put(world, f"{job.directory}/predictions.jsonl", text.encode())
        storage.put(world, f"{job.directory}/stats.json", json.dumps({"rows": len(rows)}).encode())
    return True


def _due(job: VertexJob, number: int) -> datetime:
    return job.created + (job.ends - job.created) * (number + 1) / len(job.lines)


def _row(job: VertexJob, line: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """A line of the answers: the request comes back, labels and all; `status` is empty where it went well."""
    done = work_off(job.call, job.name.rpartition("/")[2], job.model, line["request"], at, vertex=True)
    failed = "error" in done
    job.failed, job.succeeded = job.failed + failed, job.succeeded + (not failed)
    status = f"Bad Request: {json.dumps(done)}" if failed else ""
    stamp = {"processed_time": at.isoformat()}
    return {"request": line["request"], "status": status, "response": done.get("response") or {}, **stamp}


def _find(call: Call) -> VertexJob:
    params = call.request.path_params
    name = f"projects/{params['project']}/locations/{params['location']}/batchPredictionJobs/{params['job']}"
    job: VertexJob | None = call.world.shelf("vertex_batches").get(name)
    if job is None or job.call.key != call.key:
        raise call.reject(f"BatchPredictionJob {name} is not found.", "not_found")
    return job


async def get(call: Call) -> Response:
    """GET .../batchPredictionJobs/{job}"""
    return await call.answer(_find(call).to_json())


async def list_jobs(call: Call) -> Response:
    """GET .../batchPredictionJobs?filter=display_name="...": the newest first, all on one page."""
    params = call.request.path_params
    parent = f"projects/{params['project']}/locations/{params['location']}/"
    wanted = FILTER.fullmatch(call.request.query_params.get("filter") or "")
    found = [
        job
        for job in reversed(call.world.shelf("vertex_batches").values())
        if job.name.startswith(parent)
        and job.call.key == call.key
        and (wanted is None or job.body["displayName"] == wanted[1])
    ]
    return await call.answer({"batchPredictionJobs": [job.to_json() for job in found]})


async def cancel(call: Call) -> Response:
    """POST .../batchPredictionJobs/{job}:cancel"""
    job = _find(call)
    if job.state in OPEN:
        job.cancelled = call.world.clock.now()
        call.world.catch_up()
    return await call.answer({})


ROUTES = (
    ("POST", PARENT, create),
    ("GET", PARENT, list_jobs),
    ("GET", PARENT + "/{job}", get),
    ("POST", PARENT + "/{job}:cancel", cancel),
)
