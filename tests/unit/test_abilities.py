from __future__ import annotations

import pytest

from ragkit.models import Catalogue
from ragkit.nouns import CacheTtl, Effort
from ragkit.providers.abilities import ABILITIES, EFFORTS, Ability, ability_of, effort_for
from ragkit.providers.wire import nearest_ttl

CLAUDE: tuple[Effort, ...] = ("low", "medium", "high", "xhigh", "max")


@pytest.mark.parametrize(
    ("wanted", "offered", "sent"),
    [
        (None, CLAUDE, None),
        ("high", (), None),
        ("none", CLAUDE, "low"),
        ("minimal", CLAUDE, "low"),
        ("high", CLAUDE, "high"),
        ("max", ("none", "low", "medium", "high"), "high"),
        ("medium", ("low", "high"), "low"),
        ("none", ("none", "low"), "none"),
    ],
)
def test_the_highest_effort_within_the_wanted_one(
    wanted: Effort | None, offered: tuple[Effort, ...], sent: Effort | None
) -> None:
    assert effort_for(wanted, offered) == sent


def test_the_longest_beginning_of_an_id_counts() -> None:
    assert ability_of("gpt-5.6-luna").breakpoints
    assert not ability_of("gpt-5.5").breakpoints
    assert not ability_of("gpt-5-mini").breakpoints
    assert ability_of("gpt-7-later").breakpoints
    assert ability_of("meta/llama-9") == Ability()


def test_levels_are_sorted_for_every_family() -> None:
    for ability in ABILITIES.values():
        assert list(ability.efforts) == sorted(ability.efforts, key=EFFORTS.index)


def test_abilities_and_the_catalogue_know_the_same_lowest_thinking() -> None:
    catalogue = Catalogue.load()
    specs = [catalogue.model(name) for name in catalogue.ids() if name.startswith("claude-")]
    think = {spec.id: spec.lowest_thinking for spec in specs if spec.thinking == "adaptive" and spec.lowest_thinking}
    assert think == {"claude-haiku-5-5": "disabled", "claude-sonnet-5-5": "between_tools"}
    assert {spec.id: ability_of(spec.id).off for spec in specs} == {spec.id: think.get(spec.id, "") for spec in specs}


@pytest.mark.parametrize(
    ("wanted", "offered", "sent"),
    [
        (None, ("5m", "1h"), "5m"),
        ("5m", ("5m", "1h"), "5m"),
        ("30m", ("5m", "1h"), "5m"),
        ("12h", ("5m", "1h"), "1h"),
        ("5m", ("30m", "12h"), "30m"),
        ("1h", ("30m", "12h"), "30m"),
        ("12h", ("30m",), "30m"),
    ],
)
def test_the_longest_lifetime_within_the_wanted_one(
    wanted: CacheTtl | None, offered: tuple[CacheTtl, ...], sent: CacheTtl
) -> None:
    assert nearest_ttl(wanted, offered) == sent
