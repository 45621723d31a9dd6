"""`ragkit route fit`: a router of your own, from outcomes or from the ledger and what people said of its answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.options import ConfigOption, JsonOption, StoreOption, TenantOption, print_json, read_settings, run

if TYPE_CHECKING:
    from ragkit.routing.complexity import Scorer
    from ragkit.routing.learn import Learnt, Plan
    from ragkit.routing.ratings import Asked, Rating
    from ragkit.settings import Settings

OutcomesArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="[FILE.jsonl]",
        help="Lines with text, strong_correct, weak_correct and maybe group. Without it: the ledger and its feedback.",
    ),
]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="Where the router is written.")]
QualityOption = Annotated[float, typer.Option("--quality", min=0.5, max=1.0, help="Share of the best quality.")]
SinceOption = Annotated[str, typer.Option("--since", help="What of the ledger: a day, a time, or such as 90d.")]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be written.")]
MOST_SAID = 1_000_000


@dataclass(frozen=True, slots=True)
class Fitted:
    """A router that is worth writing, if there is one, and what to tell of it: to programs, and in lines for people."""

    scorer: Scorer | None
    found: Mapping[str, object]
    lines: tuple[str, ...]


def fit(
    outcomes: OutcomesArgument = None,
    out: OutOption = Path("router.bin"),
    quality: QualityOption = 0.95,
    since: SinceOption = "90d",
    dry_run: DryOption = False,
    store: StoreOption = None,
    tenant: TenantOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a router on outcomes, or set its thresholds by the ledger and people's feedback; print what uses it."""
    settings = read_settings(store, tenant, config)
    own = [name for name in ("medium", "large") if getattr(settings.routing, name) is not None]
    fitted = _by_ledger(settings, since, quality) if outcomes is None else _by_outcomes(outcomes, quality)
    scorer = None if dry_run else fitted.scorer
    if scorer is not None:
        from ragkit.routing.file import save

        save(scorer, out)
    if as_json:
        print_json({**fitted.found, "file": None if scorer is None else str(out)})
        return
    lines = list(fitted.lines)
    if scorer is not None:
        typer.echo(f'[routing]\nfile = "{out}"')
        lines += [f"take {' and '.join(own)} out of [routing]: it would come before what was fitted"] if own else []
    lines += ["nothing was written: a dry run"] if dry_run else []
    typer.echo("\n".join(f"# {line}" for line in lines))


def _by_outcomes(outcomes: Path, quality: float) -> Fitted:
    from ragkit.routing.fit import train
    from ragkit.routing.outcomes import read_outcomes
    from ragkit.routing.report import folds, held_out, threshold

    examples = read_outcomes(outcomes)
    least = threshold(examples, held_out(examples, folds(examples)), wanted=quality)
    large = min(1.0, max(0.0, least))
    lines = (
        f"fitted to {len(examples):,} questions; from a gain of {large:.3f} on the strong model answers",
        f"`ragkit route report {outcomes}` tells whether it pays",
    )
    found = {"questions": len(examples), "medium": large, "large": large}
    return Fitted(replace(train(examples), floors=(large, large)), found, lines)


def _by_ledger(settings: Settings, since: str, quality: float) -> Fitted:
    from ragkit.routing.learn import learn
    from ragkit.routing.signals import policy_of, scorer_of

    scorer = scorer_of(settings.routing)
    policy = policy_of(settings.routing, scorer)
    found = learn(*run(_rated(settings, since)), (policy.medium, policy.large), wanted=quality)
    better = replace(scorer, floors=(found.best.medium, found.best.large)) if found.better else None
    return Fitted(better, _learnt_to_json(found), tuple(_learnt_to_lines(found)))


async def _rated(settings: Settings, since: str) -> tuple[list[Asked], list[Rating]]:
    from ragkit.ledgers import opened
    from ragkit.reports.spending import parse_moment
    from ragkit.routing.ratings import read_ratings
    from ragkit_api.records import Records

    now = datetime.now(UTC)
    async with opened(settings) as ledger:
        receipts = await ledger.receipts(parse_moment(since, now, "UTC"), now, settings.tenant)
    records = Records(settings)
    try:
        said = await records.feedback(settings.tenant, MOST_SAID)
    finally:
        await records.aclose()
    return read_ratings(receipts, {it.receipt: it.rating for _, it in reversed(said)})


def _learnt_to_json(found: Learnt) -> dict[str, object]:
    return {
        "questions": found.asked,
        "ratings": dict(found.ratings),
        "medium": found.best.medium,
        "large": found.best.large,
        "now": _plan_to_json(found, found.now),
        "then": _plan_to_json(found, found.best),
        "loss": {"as_shipped": found.loss[0], "as_learnt": found.loss[1], "gained_bounds": list(found.gained)},
        "better": found.better,
    }


def _plan_to_json(found: Learnt, plan: Plan) -> dict[str, object]:
    return {
        "medium": plan.medium,
        "large": plan.large,
        "quality": plan.quality,
        "spare_bounds": list(plan.spare),
        "cost_usd": _usd(plan.pico),
        "shares": dict(zip(found.rungs, plan.shares, strict=True)),
    }


def _learnt_to_lines(found: Learnt) -> list[str]:
    """What was learnt, and what it is expected to change, for people."""
    rated = ", ".join(f"{rung} {count}" for rung, count in found.ratings.items())
    lines = [f"{found.asked:,} questions of the ledger, {sum(found.ratings.values()):,} rated: {rated}"]
    for name, plan in (("now", found.now), ("then", found.best)):
        shares = ", ".join(f"{rung} {share:.0%}" for rung, share in zip(found.rungs, plan.shares, strict=True))
        lines.append(
            f"{name}: medium from {plan.medium:.3f}, large from {plan.large:.3f}: {shares};"
            f" {plan.quality:.1%} right at ${_usd(plan.pico)} a question (estimated)"
        )
    now, then = (f"{plan.spare[0]:+.1%} to {plan.spare[1]:+.1%}" for plan in (found.now, found.best))
    lines.append(f"right answers against those that are wanted, 95 of 100 times: now {now}, then {then}")
    low, high = found.gained
    lines.append(
        f"held out ratings are foretold with a loss of {found.loss[1]:.3f} instead of the shipped {found.loss[0]:.3f}"
        f" (better by {low:.3f} to {high:.3f})"
    )
    if not found.better:
        lines.append("that is not clearly better than what is in force: no router was written; collect more feedback")
    return lines


def _usd(pico: int) -> str:
    from ragkit.money import format_usd

    return format_usd(pico)
