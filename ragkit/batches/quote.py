"""What a batch would cost, before anything is bought or written down."""

from __future__ import annotations

from collections.abc import Sequence

from ragkit.batches.job import Asked, Item, Question
from ragkit.batches.plan import Candidate, by_model, share, worst
from ragkit.batches.report import Quote
from ragkit.batches.shared import HIT_SHARE
from ragkit.checkout import Payer
from ragkit.models import ModelSpec
from ragkit.nouns import Lane, Request, Usage
from ragkit.outcome import Ready
from ragkit.structured import AnswerSchema
from ragkit.tokens import estimate_tokens, scaled


def quote(prepared: Sequence[Ready | None], payer: Payer, answer_as: AnswerSchema, output: int) -> Quote:
    """`output` is the length of an answer to reckon with, in tokens."""
    candidates = [
        Candidate(
            Item("", number, Question(str(number), "")), Asked(it.request, it.route, it.hits, it.notes, it.compared)
        )
        for number, it in enumerate(prepared)
        if it is not None
    ]
    plain = [it.asked.request for it in candidates]
    groups = [share(group, payer, answer_as) for group in by_model(candidates).values()]
    shared = [[it.asked.request for it in group] for group in groups]
    return Quote(
        questions=len(prepared),
        free=len(prepared) - len(candidates),
        models=tuple(f"{group[0].model.provider}/{group[0].model.id}" for group in shared),
        most_pico=sum(worst(request, payer) for group in shared for request in group),
        batch_pico=sum(expected(group, payer, output) for group in shared),
        unshared_pico=sum(_price(request, Usage(), payer, output, "batch") for request in plain),
        live_pico=sum(_price(request, Usage(), payer, output, "standard") for request in plain),
        prefixes=tuple(group[0].prompt.prefix.reason for group in shared),
    )


def expected(group: Sequence[Request], payer: Payer, output: int) -> int:
    """What requests with one prefix will cost: the first writes it, and of the others those that miss it."""
    prefix = group[0].prompt.prefix
    writers = 1 + round((len(group) - 1) * (1 - HIT_SHARE)) if prefix.marked else 0
    total = 0
    for number, request in enumerate(group):
        head = _head(request, payer) if prefix.marked else 0
        cached = Usage(**{f"cache_write_{prefix.ttl}": head}) if number < writers else Usage(cache_read=head)
        total += _price(request, cached, payer, output, request.lane)
    return total


def _price(request: Request, cached: Usage, payer: Payer, output: int, lane: Lane) -> int:
    spec = _spec(request, payer)
    prompt = scaled(request.prompt.tokens, spec.typical)
    usage = cached + Usage(input=max(0, prompt - cached.prompt), output=min(output, request.max_output))
    return payer.catalogue.cost(usage, spec.id, at=payer.at, lane=lane).pico


def _head(request: Request, payer: Payer) -> int:
    """Tokens up to the mark."""
    prompt = request.prompt
    return scaled(estimate_tokens(prompt.system) + prompt.prefix.tokens, _spec(request, payer).typical)


def _spec(request: Request, payer: Payer) -> ModelSpec:
    return payer.catalogue.model(request.model.price_id or request.model.id)
