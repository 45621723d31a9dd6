"""The rules of budgets, pure: whom one limits, over which window, and how much pressure it puts on a question."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, get_args

from ragkit.errors import BudgetExceeded, ConfigError
from ragkit.money import format_usd, from_usd
from ragkit.nouns import Account, Pressure
from ragkit.window import Window, from_micros

Scope = Literal["all", "key", "tenant", "user", "tag", "model", "lane"]
OnExceed = Literal["refuse", "degrade"]

SCOPES: tuple[Scope, ...] = get_args(Scope)
PRESSURES: tuple[Pressure, ...] = get_args(Pressure)
"""From none to the highest, so that the highest of several can be told."""
MAX_PICO = 9 * 10**18
"""Nine million dollars: what fits in the 64 bits of a ledger's columns."""
KNOWN = 4096
"""Accounts whose budgets are remembered."""


@dataclass(frozen=True, slots=True)
class Budget:
    """At most `limit_pico` per window for each of its subjects; a limit of None is no limit any more.

    `subject` is a name, `*` for each one by itself, or empty for the scope `all`. Users and tags belong to tenants:
    `acme/alice`, `acme/*`. A budget for a name replaces the one for `*` of the same scope and window.
    """

    scope: Scope
    subject: str
    window: Window
    limit_pico: int | None
    on_exceed: OnExceed = "refuse"

    @property
    def whom(self) -> str:
        return f"{self.scope}={self.subject}" if self.subject else self.scope


@dataclass(frozen=True, slots=True)
class BudgetChange:
    """A line of the history of budgets."""

    at: datetime
    budget: Budget
    note: str


@dataclass(frozen=True, slots=True)
class Charge:
    """A budget that a purchase counts against, and the subject that it counts for."""

    budget: Budget
    subject: str
    name: tuple[str, str, str] = field(init=False, repr=False, compare=False)
    """What its balances are kept under: scope, subject and span."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", (self.budget.scope, self.subject, str(self.budget.window)))

    @property
    def whom(self) -> str:
        return f"{self.budget.scope}={self.subject}" if self.subject else self.budget.scope


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a budget stands for one subject in the current window, which ends at `resets_at`, if it ever does.

    Budgets count what simulations bill like real money; reports tell how much of `posted_pico` that is.
    """

    charge: Charge
    held_pico: int
    posted_pico: int
    resets_at: int | None
    """Microseconds since 1970, of which a time is made where it is told: every question asks where budgets stand."""
    simulated_pico: int = 0

    @property
    def resets(self) -> datetime | None:
        return None if self.resets_at is None else from_micros(self.resets_at)

    @property
    def limit_pico(self) -> int:
        return self.charge.budget.limit_pico or 0

    @property
    def left_pico(self) -> int:
        return max(0, self.limit_pico - self.held_pico - self.posted_pico)


def parse_target(text: str, tenant: str) -> tuple[Scope, str]:
    """`all`, `tenant=acme`, `user=alice` (of this tenant) or `user=acme/alice` as scope and subject."""
    scope, _, subject = text.partition("=")
    if scope not in SCOPES:
        raise ConfigError(f"no budget scope '{scope}': use {', '.join(SCOPES)}, as in tenant=acme")
    if (scope == "all") == bool(subject):
        raise ConfigError(f"'{text}' names no budget: write all, or a scope with a name or * such as tenant=acme")
    if scope in ("user", "tag") and subject != "*" and "/" not in subject:
        subject = f"{tenant}/{subject}"
    return scope, subject


def parse_limit(text: str) -> int | None:
    """Dollars as pico-dollars; `none` for no limit."""
    if text == "none":
        return None
    try:
        limit = from_usd(text.removeprefix("$"))
    except (ValueError, ArithmeticError) as error:
        raise ConfigError(f"'{text}' is no limit: write dollars such as 12.50, or none") from error
    if not 0 <= limit <= MAX_PICO:
        raise ConfigError(f"'{text}' is no limit: write 0 to {MAX_PICO // 10**12} dollars, or none")
    return limit


def subjects(account: Account, models: tuple[str, ...], lane: str) -> tuple[tuple[Scope, str], ...]:
    """Everything that a purchase can be limited by."""
    found: list[tuple[Scope, str]] = [("all", ""), ("tenant", account.tenant)]
    if account.key is not None:
        found.append(("key", account.key))
    if account.user is not None:
        found.append(("user", f"{account.tenant}/{account.user}"))
    found += [("tag", f"{account.tenant}/{tag}") for tag in dict.fromkeys(account.tags)]
    found += [("model", model) for model in dict.fromkeys(models)]
    found.append(("lane", lane))
    return tuple(found)


def model_names(model: str, price_row: str) -> tuple[str, ...]:
    """What a model that answered may be called in a budget: its own name, and that of its price (`NAME@DATE`)."""
    return tuple(dict.fromkeys((model, price_row.partition("@")[0] or model)))


class BudgetBook:
    """The budgets in force, found by subject without looking through all of them."""

    def __init__(self, budgets: Iterable[Budget]) -> None:
        self._found: dict[tuple[str, str], list[Budget]] = {}
        self._known: dict[tuple[Account, tuple[str, ...], str], tuple[Charge, ...]] = {}
        for budget in budgets:
            if budget.limit_pico is not None:
                self._found.setdefault((budget.scope, budget.subject), []).append(budget)

    def purchase(self, account: Account, models: tuple[str, ...], lane: str) -> tuple[Charge, ...]:
        """The budgets that apply to a purchase; the same few accounts come again and again."""
        asked = (account, models, lane)
        if asked not in self._known:
            if len(self._known) == KNOWN:
                self._known.clear()
            self._known[asked] = self.charges(subjects(account, models, lane))
        return self._known[asked]

    def charges(self, found: Iterable[tuple[Scope, str]]) -> tuple[Charge, ...]:
        """The budgets that apply to these subjects, the most specific per scope and window."""
        return tuple(Charge(budget, name) for scope, name in found for budget in self._nearest(scope, name))

    def _nearest(self, scope: Scope, subject: str) -> Iterable[Budget]:
        names = [subject] if scope == "all" else [subject, f"{subject.partition('/')[0]}/*", "*"]
        nearest: dict[str, Budget] = {}
        for name in names:
            for budget in self._found.get((scope, name), ()):
                nearest.setdefault(budget.window.name, budget)
        return nearest.values()


def pressure(standings: Iterable[Standing]) -> Pressure:
    """What the tightest budget asks for: the ladder of 80, 90, 95 and 100 % of its limit."""
    return max((_step(standing) for standing in standings), key=PRESSURES.index, default="none")


def _step(standing: Standing) -> Pressure:
    limit = standing.limit_pico
    used = 100 * (standing.held_pico + standing.posted_pico)
    if used >= 100 * limit:
        return "refuse"
    if standing.charge.budget.on_exceed == "degrade":
        if used >= 95 * limit:
            return "free"
        if used >= 90 * limit:
            return "lower"
    return "warn" if used >= 80 * limit else "none"


def barring(standings: Iterable[Standing]) -> Standing | None:
    """The budget that lets nothing be bought any more, though something may be left of it."""
    barring = [standing for standing in standings if _step(standing) in ("free", "refuse")]
    return min(barring, key=lambda standing: standing.left_pico, default=None)


def affordable(standings: Iterable[Standing], max_cost_pico: int | None = None) -> int | None:
    """The most that one purchase may hold now; None where nothing limits it."""
    limits = [standing.left_pico for standing in standings]
    if max_cost_pico is not None:
        limits.append(max_cost_pico)
    return min(limits, default=None)


def check_question(amount_pico: int, max_cost_pico: int | None) -> None:
    """Refuse a question whose worst plausible cost is above its own cap."""
    if max_cost_pico is not None and amount_pico > max_cost_pico:
        error = BudgetExceeded(
            f"this question may cost up to {format_usd(amount_pico)} USD, its own limit is {format_usd(max_cost_pico)}"
            " USD: raise the limit, or ask for a shorter answer or fewer chunks"
        )
        error.scope, error.window, error.left_pico, error.cheaper = "question", "question", max_cost_pico, True
        raise error


def refusal(standing: Standing, amount_pico: int) -> BudgetExceeded:
    """The error for a purchase that does not fit; it names what to wait for or to change."""
    error = _exceeded(standing, f"this may cost up to {format_usd(amount_pico)} USD")
    # What a budget for one model does not hold may be asked of another one.
    error.cheaper = standing.charge.budget.on_exceed == "degrade" or standing.charge.budget.scope == "model"
    return error


def bar(standing: Standing) -> BudgetExceeded:
    """The error for any purchase at all, where a budget is so far used that only what is free is answered."""
    return _exceeded(standing, "near its end only what costs nothing is answered")


def _exceeded(standing: Standing, why: str) -> BudgetExceeded:
    charge, window = standing.charge, standing.charge.budget.window
    resets = standing.resets
    when = f"it resets at {resets.isoformat()}" if resets else "it does not reset"
    error = BudgetExceeded(
        f"the budget of {format_usd(standing.limit_pico)} USD per {window} for {charge.whom} has"
        f" {format_usd(standing.left_pico)} USD left and {why}: {when}; `ragkit budget set` raises it"
    )
    error.scope, error.window, error.left_pico, error.resets = (
        charge.whom,
        str(window),
        standing.left_pico,
        resets,
    )
    return error
