"""What is hot, what it has saved and why the rest goes out unmarked: read from the cache file alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from ragkit.caching.file import CacheFile
from ragkit.caching.line import Kind, Line, chunks_from_json, restore_line
from ragkit.caching.policy import LOCAL, Terms, choose_terms, terms_of
from ragkit.errors import RagkitError
from ragkit.models import Catalogue
from ragkit.money import format_usd
from ragkit.nouns import Model


@dataclass(frozen=True, slots=True)
class Odds:
    """A lifetime: the chance that the next question comes in time, and the one from which a write pays."""

    ttl: str
    warm: float
    break_even: float


@dataclass(frozen=True, slots=True)
class LineReport:
    """The questions of one kind. `saved_pico` is net of writes, vain reads and refreshes; None for free local work.

    `refreshes` cost `kept_pico`, and questions that read thanks to them saved `won_pico`; `keeping` says why the last
    one was sent, or why none was, and is empty where nothing is kept warm. `simulated` of the calls a simulation has
    billed: `simulated_pico` of what was saved is nobody's money.
    """

    tenant: str
    filters: tuple[tuple[str, str], ...]
    model: str
    effort: str | None
    questions: int
    marked: int
    reads: int
    writes: int
    saved_pico: int | None
    verdict: str
    odds: tuple[Odds, ...]
    digest: str
    tokens: int
    sources: tuple[str, ...]
    retired: tuple[str, ...]
    refused: tuple[tuple[str, int], ...]
    refreshes: int
    kept_pico: int
    won_pico: int
    keeping: str
    simulated: int = 0
    simulated_pico: int = 0


@dataclass(frozen=True, slots=True)
class CacheReport:
    """All lines, the busiest first, and how many answers are kept per tenant."""

    lines: tuple[LineReport, ...]
    answers: tuple[tuple[str, int], ...]


def cache_report(
    file: CacheFile,
    catalogue: Catalogue,
    at: datetime,
    tenant: str | None = None,
    most: int | None = None,
    *,
    keep_alive: bool = False,
) -> CacheReport:
    """A tenant of None is all of them; `most` bounds the lines.

    Without `keep_alive` nothing is kept warm any more, whatever the file says of the time when it was.
    """
    within, whose = _of(tenant)
    states = file.rows(
        f"SELECT key, body FROM state WHERE {within}"  # noqa: S608
        " ORDER BY json_extract(body, '$.questions') DESC, key LIMIT ?",
        (*whose, -1 if most is None else most),
    )
    lines = [_line(file, key.removeprefix("line "), body, catalogue, at, keep_alive) for key, body in states]
    kept = file.rows(
        "SELECT tenant, count(*) FROM answer WHERE ? IS NULL OR tenant = ? GROUP BY tenant ORDER BY tenant",
        (tenant, tenant),
    )
    ranked = sorted(lines, key=lambda line: (-line.questions, line.tenant, line.model))
    return CacheReport(tuple(ranked), tuple((name, number) for name, number in kept))


def _of(tenant: str | None) -> tuple[str, tuple[str, ...]]:
    """Where the lines of a tenant are: their keys begin with it, and are in order."""
    if tenant is None:
        return "key LIKE 'line %'", ()
    begin = f"line {json.dumps([tenant])[:-1]}"
    return "key >= ? AND key < ?", (f"{begin},", f"{begin}-")


def report_to_json(report: CacheReport) -> dict[str, Any]:
    """Money is a decimal string of dollars."""
    lines = []
    for line in report.lines:
        told = asdict(line)
        saved = told.pop("saved_pico")
        told["saved_usd"] = None if saved is None else format_usd(saved)
        simulated = told.pop("simulated_pico")
        told["simulated_usd"] = None if saved is None else format_usd(simulated)
        told["kept_usd"], told["won_usd"] = format_usd(told.pop("kept_pico")), format_usd(told.pop("won_pico"))
        told["filters"], told["refused"] = dict(line.filters), dict(line.refused)
        lines.append(told)
    return {"lines": lines, "answers": dict(report.answers)}


def report_to_text(report: CacheReport) -> str:
    """A paragraph per line."""
    if not report.lines and not report.answers:
        return "nothing has been cached yet: ask a model some questions first"
    parts = [_text(line) for line in report.lines]
    parts += [f"{name}: {number:,} answers are kept" for name, number in report.answers]
    return "\n".join(parts)


def _line(file: CacheFile, key: str, body: str, catalogue: Catalogue, at: datetime, keep_alive: bool) -> LineReport:
    told = json.loads(body)
    model = Model(told["model"]["id"], told["model"]["provider"], "medium", told["model"]["price_id"])
    filters = tuple((name, value) for name, value in told["filters"])
    line = Line(Kind(told["tenant"], filters, model, ""))
    restore_line(line, body)
    line.keeping = line.keeping if keep_alive else ""
    terms, verdict = _terms(model, catalogue, at)
    if line.keeping:
        terms = tuple(it if it.ttl is None else replace(it, refresh=it.read) for it in terms)
    choice = choose_terms(terms, line.arrivals)
    held = file.rows("SELECT digest, body FROM version WHERE line = ? AND retired IS NULL ORDER BY number", (key,))
    digest, version = held[-1] if held else ("", "{}")
    chunks = chunks_from_json({"chunks": json.loads(version).get("chunks", ())})
    balance = line.balance
    return LineReport(
        tenant=told["tenant"],
        filters=filters,
        model=model.id,
        effort=told["model"]["effort"],
        questions=line.questions,
        marked=line.marked,
        reads=balance.reads,
        writes=balance.writes,
        saved_pico=None if model.price_id is None else balance.plain_pico - balance.paid_pico,
        verdict=verdict or balance.objection(at.timestamp()) or choice.reason,
        odds=tuple(Odds(it.ttl or "automatic", line.arrivals.warm(it.seconds), it.break_even) for it in terms),
        digest=digest,
        tokens=sum(json.loads(version).get("sizes", {}).values()),
        sources=tuple(dict.fromkeys(chunk.source for chunk in chunks)),
        retired=_retired(file, key),
        refused=tuple(line.refused.most_common()),
        refreshes=balance.refreshes,
        kept_pico=balance.kept_pico,
        won_pico=balance.won_pico,
        keeping=line.keeping,
        simulated=balance.simulated,
        simulated_pico=balance.simulated_pico,
    )


def _terms(model: Model, catalogue: Catalogue, at: datetime) -> tuple[Sequence[Terms], str]:
    if model.price_id is None:
        return (LOCAL,), ""
    try:
        spec = catalogue.model(model.price_id)
        return terms_of(catalogue.bands(spec.id, at=at)[0], spec.cache_ttls), ""
    except RagkitError as error:
        return (), str(error)


def _retired(file: CacheFile, key: str) -> tuple[str, ...]:
    sql = "SELECT number, reason FROM version WHERE line = ? AND retired IS NOT NULL ORDER BY number DESC LIMIT 5"
    return tuple(f"version {number}: {reason}" for number, reason in file.rows(sql, (key,)))


def _text(line: LineReport) -> str:
    effort = f" at {line.effort} effort" if line.effort else ""
    where = "".join(f" {name}={value}" for name, value in line.filters)
    head = f"{line.tenant}{where}, {line.model}{effort}: {line.questions:,} questions, {line.marked:,} marked"
    lines = [head, f"  {line.reads:,} reads, {line.writes:,} writes{_saved(line)}"]
    if line.digest:
        lines.append(f"  hot: {', '.join(line.sources)} ({line.tokens:,} tokens, {line.digest[:12]})")
    odds = [f"{it.ttl} {it.warm:.0%} (pays from {it.break_even:.0%})" for it in line.odds]
    lines += [f"  next question within: {', '.join(odds)}"] if odds else []
    lines.append(f"  now: {line.verdict}")
    lines += [*_kept(line), *_simulated(line)]
    lines += [f"  unmarked {number:,} times: {reason}" for reason, number in line.refused]
    return "\n".join([*lines, *(f"  retired {reason}" for reason in line.retired)])


def _saved(line: LineReport) -> str:
    if line.saved_pico is None:
        return ""
    amount = _dollars(abs(line.saved_pico))
    return f", {amount} {'saved' if line.saved_pico >= 0 else 'lost'} (estimated against no prefix)"


def _kept(line: LineReport) -> list[str]:
    if not line.keeping and not line.refreshes:
        return []
    cost = f"${format_usd(line.kept_pico)}"
    spent = f"{line.refreshes:,} refreshes cost {cost} and saved {_dollars(line.won_pico)} (estimated)"
    return [f"  kept warm: {spent}", *([f"  latest: {line.keeping}"] if line.keeping else [])]


def _simulated(line: LineReport) -> list[str]:
    """That money is nobody's, as reports of the ledger say it."""
    if not line.simulated or line.saved_pico is None:
        return []
    amount = f"${format_usd(abs(line.simulated_pico))} {'saved' if line.simulated_pico >= 0 else 'lost'}"
    return [f"  simulated: {line.simulated:,} calls, with {amount}, came from simulated providers; nobody pays it"]


def _dollars(pico: int) -> str:
    return f"${format_usd(pico // 10**6 * 10**6)}"
