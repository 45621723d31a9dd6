"""What the stages make of a question: a request that is ready to be sent, or an outcome that needs no more calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ragkit.caching.answers import CACHED, Kept, Place, reason_of
from ragkit.citation import Verified
from ragkit.evidence import Evidence
from ragkit.nouns import Answer, Hit, Prefix, Receipt, Request, Route
from ragkit.routing.tiers import EXTRACTIVE
from ragkit.savings import Counterfactual
from ragkit.streaming import Found, Routed, Said, Tell

REPEATED = "answer cache: the answer was given before, and the documents are still the same"
EXTRACTIVE_NOTE = "extractive: the answer is copied from the documents, sentence by sentence; no model wrote it"
ABSTAINED = "The documents do not answer this"


@dataclass(frozen=True, slots=True)
class Ready:
    """A question up to the request that is to be sent for it; `compared` is what its receipt will be compared with.

    `place` is where its answer may be kept for the same question, None where it may not.
    """

    request: Request
    route: Route
    hits: tuple[Hit, ...]
    notes: tuple[str, ...] = ()
    compared: Counterfactual | None = None
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the stages made of a question, before its receipt."""

    hits: tuple[Hit, ...]
    verified: Verified
    route: Route
    prefix: Prefix = Prefix()
    notes: tuple[str, ...] = ()


def abstain(hits: tuple[Hit, ...], evidence: Evidence, notes: tuple[str, ...]) -> Outcome:
    """No model is asked where the evidence is weak."""
    route = Route(EXTRACTIVE, evidence.probability, f"no model was asked, the evidence is weak: {evidence.reason}")
    return Outcome(hits, Verified("", (), abstained=True, reason=evidence.reason), route, notes=notes)


def repeat(kept: Kept) -> Outcome:
    """An answer that was given before."""
    verified = Verified(kept.text, kept.citations, data=kept.data)
    route = Route(CACHED, 1.0, reason_of(kept))
    return Outcome(kept.hits, verified, route, Prefix(reason="the answer cache answered"), (*kept.notes, REPEATED))


def keep(outcome: Outcome, compared: Counterfactual | None) -> Kept:
    """An answer as it is kept for later questions."""
    verified, sizes = outcome.verified, compared
    told = {} if sizes is None else {"k": sizes.k, "fixed": sizes.fixed, "retrieved": sizes.retrieved}
    model, notes = outcome.route.model.id, outcome.notes
    return Kept(verified.text, verified.data, verified.citations, outcome.hits, model, notes, told)


def told(outcome: Outcome, tell: Tell | None) -> Outcome:
    """An outcome that is complete, told like one that is being made."""
    if tell is not None:
        tell(Found(outcome.hits))
        tell(Routed(outcome.route))
        tell(Said(outcome.verified.text, outcome.verified.citations))
    return outcome


def answer_of(outcome: Outcome, receipt: Receipt, seconds: Mapping[str, float]) -> Answer:
    """The outcome as it is given to the caller."""
    verified = outcome.verified
    return Answer(
        text=f"{ABSTAINED}: {verified.reason}" if verified.abstained else verified.text,
        data=verified.data,
        citations=verified.citations,
        hits=outcome.hits,
        route=outcome.route,
        prefix=outcome.prefix,
        receipt=receipt,
        abstained=verified.abstained,
        seconds=seconds,
        notes=outcome.notes,
    )
