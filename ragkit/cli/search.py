"""`ragkit search`: what would be retrieved, without an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.options import (
    ConfigOption,
    JsonOption,
    StoreOption,
    TenantOption,
    WhereOption,
    pairs,
    print_json,
    read_settings,
    run,
)

if TYPE_CHECKING:
    from ragkit.config import Settings
    from ragkit.nouns import Hit

QuestionArgument = Annotated[str, typer.Argument(help="The question.")]
KOption = Annotated[int, typer.Option("--k", "-k", min=1, max=1000, help="How many chunks.")]


def search(
    question: QuestionArgument,
    store: StoreOption = None,
    tenant: TenantOption = None,
    k: KOption = 10,
    where: WhereOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the best chunks for a question, reranked, with their scores."""
    from ragkit.present import hit_text, hit_to_json

    hits = run(_search(read_settings(store, tenant, config), question, k, pairs("--where", where)))
    if as_json:
        print_json({"hits": [hit_to_json(hit) for hit in hits]})
        return
    for number, hit in enumerate(hits, start=1):
        typer.echo(hit_text(number, hit))


async def _search(settings: Settings, question: str, k: int, filters: dict[str, str]) -> tuple[Hit, ...]:
    from ragkit.rag import Ragkit

    async with Ragkit.open(settings) as rag:
        return await rag.search(question, k=k, filters=filters)
