"""The start of a parser process."""

from __future__ import annotations

import sys

from ragkit.child import Child, begin
from ragkit.errors import RagkitError
from ragkit_ingest.wire import pack_recipe
from ragkit_ingest.work import Recipe

MODULE = "ragkit_ingest.worker"
START_SECONDS = 60.0


async def start(recipe: Recipe) -> Child:
    """A process that has said that it is ready."""
    parser = await begin(MODULE)
    try:
        parser.say(pack_recipe(recipe))
        await parser.answer(START_SECONDS)
    except (EOFError, TimeoutError) as error:
        await parser.close()
        raise RagkitError(f"parser processes do not start: try {sys.executable} -m {MODULE}") from error
    except BaseException:
        await parser.close()
        raise
    return parser
