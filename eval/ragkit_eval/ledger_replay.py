"""The user's own ledger under other settings: each change alone, priced by the same catalogue; nobody is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ragkit.config import Settings
from ragkit.errors import ConfigError
from ragkit.ledgers import opened
from ragkit.models import Catalogue
from ragkit.money import format_usd
from ragkit.nouns import Receipt
from ragkit.reports.spending import parse_moment, simulated_note
from ragkit.reports.table import text_table
from ragkit.reports.whatif import Change, Outcome, replay

MODELS = ("claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5")
CHUNKS = (3, 5)


@dataclass(frozen=True, slots=True)
class Alternative:
    """One change and what the recorded questions would have cost with it, an estimate."""

    name: str
    outcome: Outcome


async def alternatives(settings: Settings, since: str) -> tuple[Alternative, ...]:
    """Everything that can be told from receipts; raises `ConfigError` where there are none."""
    now = datetime.now(UTC)
    async with opened(settings) as ledger:
        receipts = list(await ledger.receipts(parse_moment(since, now, "UTC"), now, None))
    if not receipts:
        raise ConfigError(f"the ledger has no receipts since {since}: name an earlier day with --since")
    return compare(receipts, Catalogue.of(settings.prices.file))


def compare(receipts: Sequence[Receipt], catalogue: Catalogue) -> tuple[Alternative, ...]:
    """Each change by itself, the cheapest first."""
    changes = [(f"all by {model}", Change({"*": model})) for model in MODELS]
    changes += [(f"at most {count} chunks", Change(k=count)) for count in CHUNKS]
    changes.append(("no prompt cache", Change(cache=False)))
    found = [Alternative(name, replay(receipts, catalogue, change)) for name, change in changes]
    return tuple(sorted(found, key=lambda it: it.outcome.changed_pico))


def alternatives_text(found: Sequence[Alternative]) -> str:
    first = found[0].outcome
    rows = [
        [it.name, format_usd(it.outcome.changed_pico), _share(it.outcome), f"{it.outcome.changed:,}"] for it in found
    ]
    head = f"{first.questions:,} recorded questions cost ${format_usd(first.actual_pico)} (below: estimated)"
    left = f"\n{first.unknown:,} events of unknown cost are left out" if first.unknown else ""
    note = simulated_note(first.simulated_pico, "of what they did cost")
    table = text_table(("instead", "USD", "difference", "events changed"), rows)
    return f"{head}\n\n{table}{left}" + (f"\n{note}" if note else "")


def _share(outcome: Outcome) -> str:
    return f"{outcome.changed_pico / outcome.actual_pico - 1:+.1%}" if outcome.actual_pico else ""


def alternatives_to_json(found: Sequence[Alternative]) -> dict[str, Any]:
    first = found[0].outcome
    return {
        "questions": first.questions,
        "actual_usd": format_usd(first.actual_pico),
        "simulated_usd": format_usd(first.simulated_pico),
        "unknown_costs": first.unknown,
        "alternatives": [{"name": it.name, "usd": format_usd(it.outcome.changed_pico)} for it in found],
        "estimated": True,
    }
