"""`ragkit ask`: one question, or a conversation line by line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
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
    from ragkit.nouns import Answer

QuestionArgument = Annotated[str | None, typer.Argument(help="The question; without it, one question per line.")]
KOption = Annotated[int | None, typer.Option("--k", "-k", min=1, max=1000, help="Chunks to retrieve before reranking.")]


def ask(
    question: QuestionArgument = None,
    store: StoreOption = None,
    tenant: TenantOption = None,
    k: KOption = None,
    where: WhereOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer a question from the documents, with citations and a receipt."""
    questions = _typed_questions() if question is None else iter([question])
    filters = pairs("--where", where)
    run(_answer(read_settings(store, tenant, config), questions, k, filters, as_json))


async def _answer(
    settings: Settings, questions: Iterator[str], k: int | None, filters: dict[str, str], as_json: bool
) -> None:
    from ragkit.rag import Ragkit

    async with Ragkit.open(settings) as rag:
        for question in questions:
            _print(await rag.ask(question, k=k, filters=filters), as_json)


def _print(answer: Answer, as_json: bool) -> None:
    from ragkit.present import answer_text, answer_to_json

    if as_json:
        print_json(answer_to_json(answer))
    else:
        typer.echo(answer_text(answer) + "\n")


def _typed_questions() -> Iterator[str]:
    """Lines of stdin until its end or `exit`; a prompt is shown to people only."""
    interactive = sys.stdin.isatty()
    while True:
        if interactive:
            typer.echo("question (empty line or Ctrl-D ends)> ", nl=False, err=True)
        line = sys.stdin.readline()
        if not line or (interactive and not line.strip()):
            return
        if line.strip():
            yield line.strip()
