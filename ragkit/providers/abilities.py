"""Which model takes which parameter: data, checked 2026-11-23, so that adapters need no branches on models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from ragkit.nouns import Effort

EFFORTS: tuple[Effort, ...] = get_args(Effort)
"""All levels, least thinking first."""


@dataclass(frozen=True, slots=True)
class Ability:
    """What a family of models takes on the wire.

    `efforts` are its levels of thinking, lowest first, none where there is no such parameter. `off` is the parameter
    that thinks least and `off_up_to` the highest effort beside which it is allowed. `breakpoints` tells that cache
    marks are placed by the caller, `budget` that thinking is limited in tokens and not by levels.
    """

    efforts: tuple[Effort, ...] = ()
    off: str = ""
    off_up_to: Effort = "high"
    breakpoints: bool = False
    budget: bool = False


CLAUDE: tuple[Effort, ...] = ("low", "medium", "high", "xhigh", "max")
GPT: tuple[Effort, ...] = ("none", "low", "medium", "high", "xhigh")

ABILITIES: dict[str, Ability] = {
    "claude-": Ability(CLAUDE),
    "claude-haiku-4-5": Ability(),
    "claude-sonnet-4-5": Ability(),
    "claude-haiku-5-5": Ability(CLAUDE, off="disabled"),
    "claude-sonnet-5-5": Ability(CLAUDE, off="between_tools"),
    "gpt-": Ability((*GPT, "max"), breakpoints=True),
    "gpt-4": Ability(),
    "gpt-5": Ability(("minimal", "low", "medium", "high")),
    "gpt-5.1": Ability(("none", "low", "medium", "high")),
    "gpt-5.4": Ability(GPT),
    "gpt-5.5": Ability(GPT),
    "gpt-5.6": Ability(GPT, breakpoints=True),
    "o3": Ability(("low", "medium", "high")),
    "gemini-": Ability(("minimal", "low", "medium", "high")),
    "gemini-2.5-": Ability(("none", "low", "medium", "high"), budget=True),
    "gemini-2.5-pro": Ability(("low", "medium", "high"), budget=True),
    "gemini-3.1-pro": Ability(("low", "high")),
}
"""By the beginning of a model's id; the longest one counts."""

UNKNOWN = Ability()


def ability_of(model: str) -> Ability:
    """What a model takes; one that no row knows gets no optional parameter."""
    known = [start for start in ABILITIES if model.startswith(start)]
    return ABILITIES[max(known, key=len)] if known else UNKNOWN


def effort_for(wanted: Effort | None, offered: tuple[Effort, ...]) -> Effort | None:
    """The highest level on offer within the wanted one, else the lowest; None where nothing is wanted or offered."""
    if wanted is None or not offered:
        return None
    within = [level for level in offered if EFFORTS.index(level) <= EFFORTS.index(wanted)]
    return within[-1] if within else offered[0]
