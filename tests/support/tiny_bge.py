"""Tiny models of the BGE architecture: random weights over a dozen words, 16 dimensions; nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = "<s> <pad> </s> <unk> pump valve lid warranty years two the of a open <mask>".split()  # noqa: SIM905
LENGTH = 32


def _make_model(folder: Path, kind: str) -> Path:
    """An XLM-RoBERTa as BGE-M3 and its reranker are, with 16 dimensions."""
    torch.manual_seed(0)
    config = transformers.XLMRobertaConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_attention_heads=2,
        num_hidden_layers=2,
        intermediate_size=32,
        max_position_embeddings=LENGTH + 2,
        num_labels=1,
        initializer_range=0.5,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
    getattr(transformers, kind)(config).save_pretrained(folder)
    _write_tokenizer(folder)
    return folder


def _write_tokenizer(folder: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    fast = transformers.XLMRobertaTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), model_max_length=LENGTH, mask_token="<mask>"
    )
    fast.save_pretrained(folder)


def make_ranker(folder: Path) -> Path:
    return _make_model(folder, "XLMRobertaForSequenceClassification")


def make_encoder(folder: Path) -> Path:
    _make_model(folder, "XLMRobertaModel")
    torch.save(torch.nn.Linear(16, 16).state_dict(), folder / "colbert_linear.pt")
    torch.save(torch.nn.Linear(16, 1).state_dict(), folder / "sparse_linear.pt")
    return folder
