"""From prepared questions to parts: one model each, a shared prefix where it pays, within the provider's limits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from ragkit.batch import BatchApi, Line
from ragkit.batches.job import Asked, Item
from ragkit.batches.shared import for_an_hour, shared_prefix
from ragkit.checkout import Order, Payer
from ragkit.nouns import Prefix, Request
from ragkit.prompt import cache_key, render
from ragkit.structured import AnswerSchema

LONGEST_BATCH = timedelta(hours=24)
"""When providers give up. Prices may change until then, so that money is held at the dearer ones."""
MARGIN = 0.95
"""Share of a provider's limit of bytes that is used."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A prepared question that is to be put into a part."""

    item: Item
    asked: Asked


def by_model(candidates: Sequence[Candidate]) -> dict[tuple[str, str], list[Candidate]]:
    """One group per provider and model: a batch has one model, and a cache too."""
    groups: dict[tuple[str, str], list[Candidate]] = {}
    for candidate in candidates:
        model = candidate.asked.route.model
        groups.setdefault((model.provider, model.id), []).append(candidate)
    return groups


def share(group: Sequence[Candidate], payer: Payer, answer_as: AnswerSchema) -> list[Candidate]:
    """The same questions in the batch lane, with the prefix that pays for all of them.

    Those that were in a batch before keep theirs, since the money for it is held.
    """
    fresh = [it for it in group if it.item.attempt == 1]
    if not fresh:
        return list(group)
    prefix = _prefix(fresh, payer)
    tenant, note = payer.account.tenant, answer_as.note
    shared = {it.item.number: replace(it, asked=_with_prefix(it.asked, prefix, note, tenant)) for it in fresh}
    return [shared.get(it.item.number, it) for it in group]


def parts_of(group: Sequence[Candidate], api: BatchApi) -> Iterator[list[Candidate]]:
    """Cut a group into batches that the provider takes."""
    part: list[Candidate] = []
    size = 0
    for candidate in group:
        length = len(json.dumps(dict(api.body(candidate.asked.request)))) + 200
        full = len(part) >= api.limits.requests or size + length > api.limits.bytes * MARGIN
        if part and full:
            yield part
            part, size = [], 0
        part.append(candidate)
        size += length
    if part:
        yield part


def lines_of(candidates: Sequence[Candidate], api: BatchApi) -> list[Line]:
    return [Line(candidate.item.name, api.body(candidate.asked.request)) for candidate in candidates]


def worst(request: Request, payer: Payer) -> int:
    """What must be held: the dearest that the answer can be on any day on which it may be worked off."""
    days = (payer.at, payer.at + LONGEST_BATCH)
    return max(Order(replace(payer, at=at), "", None).bound(request) for at in days)


def _prefix(group: Sequence[Candidate], payer: Payer) -> Prefix:
    """The live lane's hot prefix where all have the same one, else one made for this batch."""
    prompts = [it.asked.request.prompt for it in group]
    kept = {prompt.prefix.digest: prompt.prefix for prompt in prompts}
    if len(kept) == 1 and prompts[0].prefix.text:
        return for_an_hour(prompts[0].prefix)
    price_id = group[0].asked.route.model.price_id or ""
    return shared_prefix(prompts, price_id, payer.catalogue, payer.at)


def _with_prefix(asked: Asked, prefix: Prefix, note: str, tenant: str) -> Asked:
    request, old = asked.request, asked.request.prompt
    prompt = render(old.asked, old.selected, prefix=prefix, history=old.history, note=note)
    longest = min(request.max_output, request.model.max_output)
    key = cache_key(tenant, prefix)
    return replace(asked, request=replace(request, prompt=prompt, lane="batch", max_output=longest, cache_key=key))
