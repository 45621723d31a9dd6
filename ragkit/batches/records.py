"""Jobs, parts and items as JSON and back."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime

from ragkit.batches.job import Item, Job, Part, Question
from ragkit.nouns import Account


def record_to_json(record: Job | Part | Item) -> str:
    return json.dumps(asdict(record), ensure_ascii=False, default=datetime.isoformat)


def job_from_json(text: str) -> Job:
    record = json.loads(text)
    account = Account(**{**record["account"], "tags": tuple(record["account"]["tags"])})
    filters = tuple((name, value) for name, value in record["filters"])
    at, deadline = datetime.fromisoformat(record["at"]), _time(record["deadline"])
    return Job(**{**record, "account": account, "at": at, "deadline": deadline, "filters": filters})


def part_from_json(text: str) -> Part:
    record = json.loads(text)
    times = {"sent": _time(record["sent"]), "ended": _time(record["ended"])}
    return Part(**{**record, **times, "rejected": tuple(record["rejected"])})


def item_from_json(text: str) -> Item:
    record = json.loads(text)
    return Item(**{**record, "question": Question(**record["question"])})


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
