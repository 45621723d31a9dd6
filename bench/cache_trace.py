"""What hot prefixes cost and save on a composed trace, against fixed choices, by the twin's caches and its invoice.

`python bench/cache_trace.py --data DIR [--set NAME] [--model ID] [--stretch N ...] [--tenants N]`

Arrivals are those of trace_azure_llm, an hour stretched by a factor; each belongs to a tenant, tenants by Zipf's law,
and asks one of the tenant's questions, which are popular by Zipf's law in an order of the tenant's own. Chunks are what
ragkit really retrieves and selects for the question. `kept warm` is ragkit with `[cache] keep_alive`: before its entry
ends, a prefix is read again where that pays, by the code that decides it in a service.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import gzip
import json
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf
from pathlib import Path

from ragkit import Ragkit, load_settings
from ragkit.caching.file import CacheFile
from ragkit.caching.line import Kind
from ragkit.caching.policy import SECONDS, Arrivals, Balance, BreakEven, CachePolicy, Choice, Terms
from ragkit.caching.prefix import Asked, Prefixes
from ragkit.caching.refresh_due import Due, Keeping
from ragkit.caching.versions import Head
from ragkit.calls.attempt import Attempt
from ragkit.models import Catalogue
from ragkit.nouns import CacheTtl, Chunk, Model, Request, Schema, Usage
from ragkit.prompt import SYSTEM, cache_key, render, render_prefix
from ragkit.settings import CacheSettings
from ragkit.store import Store
from ragkit_eval.twin.cache import Breakpoint, BreakpointCache, chain
from ragkit_eval.twin.cache import Prefixes as Rendered
from ragkit_eval.twin.invoice import price
from ragkit_eval.twin.tokens import NARROW, WIDE, count

OUTPUT = 200
START = datetime(2026, 11, 24, tzinfo=UTC).timestamp()
NO_MORE_THAN_BEST, NO_MORE_THAN_NONE = 0.03, 0.02
SCHEMA = Schema("answer", {})
STORED: dict[CacheTtl, str] = {ttl: f"write_{ttl}" for ttl in SECONDS}


@dataclass(frozen=True, slots=True)
class Arrival:
    at: float
    tenant: str
    question: int


class Always:
    """The fixed choice of one lifetime, whatever comes; None never marks."""

    def __init__(self, ttl: CacheTtl | None) -> None:
        self._ttl = ttl

    def choose(self, offered: Sequence[Terms], arrivals: Arrivals) -> Choice:
        found = next((terms for terms in offered if terms.ttl == self._ttl and self._ttl), None)
        return Choice(found, arrivals.warm(found.seconds) if found else 0.0, "always" if found else "never")

    def objection(self, balance: Balance, now: float) -> str:
        return ""

    def skips(self, needless: float, needed: float) -> bool:
        return False


class Provider:
    """The twin's cache and prices without its sockets: a day of questions takes seconds."""

    def __init__(self, model: Model) -> None:
        self.model = model
        anthropic = model.provider == "anthropic"
        self._cache = BreakpointCache(lookback=20 if anthropic else 1)
        self._width = NARROW if anthropic else WIDE
        self.pico = 0
        self.refreshes = 0
        self.refreshed_pico = 0
        self.by_tenant: dict[str, int] = {}

    def complete(
        self, texts: Sequence[str], ttl: CacheTtl | None, at: float, tenant: str, minimum: int, output: int = OUTPUT
    ) -> tuple[Usage, int]:
        """Bill one call; its texts are instructions, prefix and the rest, and a mark stands behind the prefix."""
        now = datetime.fromtimestamp(at, UTC)
        sizes = [count(text, self._width) for text in texts]
        totals = tuple(sum(sizes[: place + 1]) for place in range(len(sizes)))
        rendered = Rendered(chain(f"{tenant}/{self.model.id}", texts), totals)
        marks = [Breakpoint(len(texts) - 2, ttl)] if ttl else []
        outcome = self._cache.look_up(rendered, marks, minimum, now)
        self._cache.commit(outcome)
        used = {"input": totals[-1] - outcome.cached, "read": outcome.read, "output": output}
        written = {STORED[name]: tokens for name, tokens in outcome.written.items() for name in [_ttl(name)]}
        amount = price(self.model.id, "standard", used | written, now)
        if amount is None:
            raise SystemExit(f"the twin has no price for {self.model.id}")
        self.pico += amount
        self.by_tenant[tenant] = self.by_tenant.get(tenant, 0) + amount
        classes = {f"cache_{name}": tokens for name, tokens in written.items()}
        return Usage(input=used["input"], cache_read=outcome.read, output=output, **classes), amount

    def refresh(self, due: Due, at: float, minimum: int) -> tuple[Usage, int]:
        """As `complete`, for a prefix without a question."""
        request = due.entry.request
        prompt, prefix = request.prompt, request.prompt.prefix
        texts = (prompt.system, prefix.text, prompt.question)
        usage, amount = self.complete(texts, prefix.ttl, at, due.entry.tenant, minimum, request.max_output)
        self.refreshes, self.refreshed_pico = self.refreshes + 1, self.refreshed_pico + amount
        return usage, amount


def _ttl(name: str) -> CacheTtl:
    return next(ttl for ttl in SECONDS if ttl == name)


def arrivals(
    data: Path, *, questions: int, tenants: int, stretch: float, most: int, seed: int = 0
) -> Iterator[Arrival]:
    """The composed trace, the same for every policy."""
    chance = random.Random(seed)
    names = [f"tenant{number}" for number in range(tenants)]
    weights = [1 / (rank + 1) for rank in range(tenants)]
    popular = [1 / (rank + 1) ** 1.1 for rank in range(questions)]
    order = {name: chance.sample(range(questions), questions) for name in names}
    with gzip.open(data / "trace_azure_llm" / "AzureLLMInferenceTrace_conv.csv.gz", "rt") as file:
        moments = [datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp() for row in csv.DictReader(file)]
    for moment in moments[:most]:
        tenant = chance.choices(names, weights)[0]
        question = order[tenant][chance.choices(range(questions), popular)[0]]
        yield Arrival(START + (moment - moments[0]) * stretch, tenant, question)


async def run(
    policy: CachePolicy,
    trace: Sequence[Arrival],
    asked: Sequence[tuple[str, tuple[Chunk, ...]]],
    store: Shared,
    model: Model,
    *,
    keep: bool = False,
) -> tuple[Provider, int]:
    """All questions of a trace under a policy; the provider with its bill, and how many went out marked."""
    catalogue, provider, marked = Catalogue.load(), Provider(model), 0
    now = START

    def clock() -> float:
        return now

    prefixes = Prefixes(catalogue, CacheFile(None), CacheSettings(), Head(SYSTEM, render_prefix), clock, policy)
    prefixes.kept_warm, keeping = keep, Keeping(prefixes, clock)
    minimum = catalogue.model(model.id).cache_minimum or 0

    def keep_until(moment: float) -> None:
        nonlocal now
        while (next_due := keeping.next_due()) is not None and next_due < moment:
            now = max(now, next_due)
            for due in keeping.due():
                usage, amount = provider.refresh(due, now, minimum)
                keeping.done(due, usage, amount, now)

    for arrival in trace:
        keep_until(arrival.at)
        now = arrival.at
        text, chunks = asked[arrival.question]
        kind = Kind(arrival.tenant, (), model, "answer")
        async with prefixes.taken(Asked(kind, chunks), store, "v1") as taken:
            prompt = render(text, chunks, prefix=taken.prefix)
            texts = (prompt.system, prompt.prefix.text, prompt.evidence + prompt.question)
            usage, _ = provider.complete(texts, taken.prefix.ttl, now, arrival.tenant, minimum)
            taken.record(Attempt("generate", model.provider, model.id, usage, 1.0, 1, "", "ok"))
            marked += taken.prefix.marked
            key = cache_key(arrival.tenant, prompt.prefix)
            prompt = replace(prompt, prefix=taken.prefix)
            keeping.remember(Request(prompt, model, SCHEMA, OUTPUT, cache_key=key), taken.line)
    keep_until(inf)
    return provider, marked


class Shared:
    """A store in which every tenant has the same documents; all that a prefix asks of it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[Chunk, ...]] = {}

    async def chunks(self, tenant: str, document_id: str) -> tuple[Chunk, ...]:
        if document_id not in self._known:
            self._known[document_id] = await self._store.chunks("default", document_id)
        return self._known[document_id]


async def selected(rag: Ragkit, data: Path, name: str, folder: Path) -> list[tuple[str, tuple[Chunk, ...]]]:
    """The questions of a set with the chunks that an answer would be made from."""
    files = folder / "files"
    files.mkdir()
    rows = [json.loads(line) for line in _lines(data / name, "corpus")]
    for number, row in enumerate(rows):
        (files / f"{number:05}.md").write_text(f"# {row['title']}\n\n{row['text']}\n", encoding="utf-8")
    await rag.ingest(files)
    queries = [json.loads(line)["text"] for line in _lines(data / name, "queries")]
    hits = [await rag.search(text, selected=True) for text in queries]
    return [(text, tuple(hit.chunk for hit in found)) for text, found in zip(queries, hits, strict=True)]


def _lines(folder: Path, name: str) -> list[str]:
    plain = folder / f"{name}.jsonl"
    if plain.exists():
        return plain.read_text(encoding="utf-8").splitlines()
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return file.read().splitlines()


async def main(options: argparse.Namespace) -> None:
    provider, _, name = options.model.partition("/")
    model = Model(name, provider, "medium", name)
    ttls = Catalogue.load().model(name).cache_ttls
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        settings = load_settings(environment={}, overrides={"store": {"path": folder / "kb"}})
        async with Ragkit.open(settings) as rag:
            asked = await selected(rag, options.data, options.set, folder)
            store = Shared(await rag.store())
            for stretch in options.stretch:
                trace = list(
                    arrivals(
                        options.data, questions=len(asked), tenants=options.tenants, stretch=stretch, most=options.most
                    )
                )
                await compare(trace, asked, store, model, ttls, f"{name}, 1 h stretched to {stretch:g} h")


async def compare(
    trace: Sequence[Arrival],
    asked: Sequence[tuple[str, tuple[Chunk, ...]]],
    store: Shared,
    model: Model,
    ttls: Sequence[CacheTtl],
    title: str,
) -> None:
    none, _ = await run(Always(None), trace, asked, store, model)
    fixed = {ttl: (await run(Always(ttl), trace, asked, store, model)) for ttl in ttls}
    ours, marked = await run(BreakEven(), trace, asked, store, model)
    kept, kept_marked = await run(BreakEven(), trace, asked, store, model, keep=True)
    each = {
        tenant: min(it.by_tenant[tenant] for it in (none, *(p for p, _ in fixed.values()))) for tenant in none.by_tenant
    }
    best = min([none.pico, *(it.pico for it, _ in fixed.values())])
    print(f"\n{title}: {len(trace):,} questions of {len(each)} tenants (simulated)")
    rows = [
        ("no cache", none, 0),
        *((f"always {ttl}", it, n) for ttl, (it, n) in fixed.items()),
        ("ragkit", ours, marked),
        ("kept warm", kept, kept_marked),
    ]
    for label, it, count_ in rows:
        share = it.pico / none.pico - 1
        print(f"  {label:<12} ${it.pico / 1e12:10.4f}  {share:+7.1%} against none  {count_:7,} marked")
    print(f"  best fixed   ${best / 1e12:10.4f}; best per tenant, in hindsight ${sum(each.values()) / 1e12:.4f}")
    print(f"  {kept.refreshes:,} refreshes cost ${kept.refreshed_pico / 1e12:.4f}")
    for label, it in (("ragkit", ours), ("kept warm", kept)):
        worst = max(it.by_tenant[tenant] / none.by_tenant[tenant] - 1 for tenant in each)
        good = it.pico <= best * (1 + NO_MORE_THAN_BEST) and it.pico <= none.pico * (1 + NO_MORE_THAN_NONE)
        print(
            f"  {label}: {it.pico / best - 1:+.2%} against the best fixed, {it.pico / sum(each.values()) - 1:+.2%}"
            f" against the best per tenant, worst tenant {worst:+.2%} against none:"
            f" {'within' if good else 'OUTSIDE'} the bars"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--set", default="api_docs_qa")
    parser.add_argument("--model", default="anthropic/claude-sonnet-5-5")
    parser.add_argument("--stretch", type=float, nargs="*", default=[1, 24, 168, 720])
    parser.add_argument("--tenants", type=int, default=100)
    parser.add_argument("--most", type=int, default=20_000)
    asyncio.run(main(parser.parse_args()))
