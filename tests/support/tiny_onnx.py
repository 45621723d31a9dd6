"""Tiny ONNX models as fastembed reads them: random weights over a dozen words; nothing is downloaded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from onnx_bert import random_weights, write_cross_encoder, write_encoder
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "pump",
    "valve",
    "lid",
    "warranty",
    "years",
    "two",
    "the",
    "of",
    "a",
    "open",
]
CONFIG = {
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
}


def _write_tokenizer(folder: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    about = {"model_max_length": CONFIG["max_position_embeddings"], "pad_token": "[PAD]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    (folder / "config.json").write_text(json.dumps({**CONFIG, "pad_token_id": 0}))


def make_encoder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    _write_tokenizer(folder)
    write_encoder(CONFIG, random_weights(CONFIG), folder / "model.onnx")
    return folder


def make_cross_encoder(folder: Path) -> Path:
    (folder / "onnx").mkdir(parents=True)
    _write_tokenizer(folder)
    head = np.random.default_rng(1).normal(size=CONFIG["hidden_size"])
    write_cross_encoder(CONFIG, random_weights(CONFIG), head, folder / "onnx" / "model.onnx")
    return folder
