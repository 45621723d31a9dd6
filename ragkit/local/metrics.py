"""How a vLLM server does, read from its `/metrics`: speculation, prefix cache, queue, and what an answer costs."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import httpx2

from ragkit.errors import ConfigError
from ragkit.money import format_usd

SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{[^}]*\})?[ \t]+([-+0-9.eE]+|NaN|[+-]?Inf)")
LOW_ACCEPTANCE = Fraction(3, 10)
"""Below this drafts mostly waste arithmetic."""
QUEUE = 1
TIMEOUT = 10.0
Samples = Mapping[str, Fraction]


@dataclass(frozen=True, slots=True)
class LocalStatus:
    """None where nothing has happened yet that could be measured."""

    acceptance: Fraction | None
    per_step: Fraction | None
    prefix_hits: Fraction | None
    running: int
    waiting: int
    kv_usage: Fraction | None
    answers: int
    prompt_tokens: int
    output_tokens: int
    answer_pico: int | None
    notes: tuple[str, ...]


async def read(url: str, http: httpx2.AsyncClient | None = None) -> Samples:
    """The samples of a server; `ConfigError` where there is none."""
    async with http or httpx2.AsyncClient(timeout=TIMEOUT) as client:
        try:
            answer = await client.get(url.rstrip("/").removesuffix("/v1") + "/metrics")
            answer.raise_for_status()
        except httpx2.HTTPError as error:
            raise ConfigError(f"no metrics at {url} ({type(error).__name__}): is the server started there?") from error
    return parse(answer.text)


def parse(text: str) -> Samples:
    """Sums per name over all labels; counters without their `_total`."""
    sums: defaultdict[str, Fraction] = defaultdict(Fraction)
    for line in text.splitlines():
        found = SAMPLE.match(line)
        if found and found[2] not in ("NaN", "+Inf", "-Inf", "Inf"):
            sums[found[1].removesuffix("_total")] += Fraction(found[2])
    return dict(sums)


def status(
    now: Samples, *, before: Samples | None = None, seconds: float = 0.0, hour_pico: int | None = None
) -> LocalStatus:
    """What happened since `before`, else since the server started; an answer's cost is its share of that time."""
    past = before or {}

    def grown(name: str) -> Fraction:
        return max(Fraction(0), now.get(f"vllm:{name}", Fraction(0)) - past.get(f"vllm:{name}", Fraction(0)))

    drafts, drafted = grown("spec_decode_num_drafts"), grown("spec_decode_num_draft_tokens")
    accepted = grown("spec_decode_num_accepted_tokens")
    answers = int(grown("request_success"))
    waited = Fraction(seconds).limit_denominator(1000) if before is not None else None
    cost = None
    if hour_pico is not None and waited and answers:
        cost = round(hour_pico * waited / 3600 / answers)
    acceptance, hits = _ratio(accepted, drafted), _ratio(grown("prefix_cache_hits"), grown("prefix_cache_queries"))
    waiting = int(now.get("vllm:num_requests_waiting", 0))
    return LocalStatus(
        acceptance=acceptance,
        per_step=None if not drafts else 1 + accepted / drafts,
        prefix_hits=hits,
        running=int(now.get("vllm:num_requests_running", 0)),
        waiting=waiting,
        kv_usage=now.get("vllm:kv_cache_usage_perc"),
        answers=answers,
        prompt_tokens=int(grown("prompt_tokens")),
        output_tokens=int(grown("generation_tokens")),
        answer_pico=cost,
        notes=_notes(acceptance, hits, waiting),
    )


def status_to_json(found: LocalStatus) -> dict[str, Any]:
    return {
        "acceptance": _share(found.acceptance),
        "tokens_per_step": _share(found.per_step),
        "prefix_hits": _share(found.prefix_hits),
        "running": found.running,
        "waiting": found.waiting,
        "kv_usage": _share(found.kv_usage),
        "answers": found.answers,
        "prompt_tokens": found.prompt_tokens,
        "output_tokens": found.output_tokens,
        "answer_usd": None if found.answer_pico is None else format_usd(found.answer_pico),
        "notes": list(found.notes),
    }


def status_text(found: LocalStatus) -> str:
    cost = "unknown" if found.answer_pico is None else f"${format_usd(found.answer_pico)}"
    lines = [
        f"speculation  {_percent(found.acceptance)} accepted, {_number(found.per_step)} tokens a step",
        f"prefix cache {_percent(found.prefix_hits)} of prompt tokens",
        f"queue        {found.running} running, {found.waiting} waiting, KV cache {_percent(found.kv_usage)} full",
        f"answers      {found.answers:,}, {found.prompt_tokens:,} tokens in, {found.output_tokens:,} out",
        f"an answer    {cost} of the machine's time",
    ]
    return "\n".join([*lines, *(f"note: {note}" for note in found.notes)])


def _notes(acceptance: Fraction | None, hits: Fraction | None, waiting: int) -> tuple[str, ...]:
    """What a reader should do something about."""
    notes = []
    if acceptance is not None and acceptance < LOW_ACCEPTANCE:
        notes.append(
            "few drafts are accepted: another speculation may suit better; one that falls over hours needs a restart"
        )
    if hits == 0:
        notes.append(
            "nothing is read from the prefix cache: is it on, do prompts begin alike, does the draft allow it?"
        )
    if waiting >= QUEUE:
        notes.append(f"{waiting} requests wait: the machine is full, so its full cost per answer is reached")
    return tuple(notes)


def _ratio(part: Fraction, whole: Fraction) -> Fraction | None:
    return part / whole if whole else None


def _share(value: Fraction | None) -> float | None:
    return None if value is None else round(float(value), 4)


def _percent(value: Fraction | None) -> str:
    return "unknown" if value is None else f"{float(value):.1%}"


def _number(value: Fraction | None) -> str:
    return "unknown" if value is None else f"{float(value):.2f}"
