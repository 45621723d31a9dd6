"""Files of questions: JSON lines with `question` and, if wanted, `id`, or plain text with a question per line."""

from __future__ import annotations

import json
from pathlib import Path

from ragkit.batches.job import Question
from ragkit.errors import ConfigError
from ragkit.query import check_question


def read_questions(path: Path) -> list[Question]:
    """The questions of a file; `ConfigError` names the line that cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the questions {path} cannot be read: {error}") from error
    numbered = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if not numbered:
        raise ConfigError(f"there are no questions in {path}: write one per line")
    as_json = path.suffix.lower() in (".jsonl", ".ndjson", ".json") or numbered[0][1].lstrip().startswith("{")
    read = _from_json if as_json else _from_text
    return [read(path, number, line) for number, line in numbered]


def _from_text(path: Path, number: int, line: str) -> Question:
    return Question(str(number), _checked(path, number, line))


def _from_json(path: Path, number: int, line: str) -> Question:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ConfigError(f"{path}, line {number}: not JSON ({error})") from error
    question = row.get("question") if isinstance(row, dict) else None
    if not isinstance(question, str):
        raise ConfigError(f'{path}, line {number}: write {{"id": "...", "question": "..."}}')
    return Question(str(row.get("id") or number), _checked(path, number, question))


def _checked(path: Path, number: int, question: str) -> str:
    try:
        return check_question(question)
    except ConfigError as error:
        raise ConfigError(f"{path}, line {number}: {error}") from error
