"""What the fastembed adapters share: models by name or in a folder, loaded on first use, run in a thread."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragkit.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from types import ModuleType

    from tokenizers import Tokenizer

MODEL_FILES = ("model.onnx", "onnx/model.onnx", "model_optimized.onnx", "onnx/model_quantized.onnx")


def import_fastembed(purpose: str) -> ModuleType:
    try:
        import fastembed
        import fastembed.rerank.cross_encoder
    except ImportError as error:
        raise MissingExtra("fastembed", purpose) from error
    return fastembed


def model_file(folder: Path) -> str:
    found = next((name for name in MODEL_FILES if (folder / name).is_file()), None)
    if found is None:
        raise ConfigError(f"{folder} holds no ONNX model: put model.onnx there, or name a model that fastembed knows")
    return found


def read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: a model folder needs it next to its ONNX file") from error
    return value if isinstance(value, dict) else {}


def untruncated(tokenizer: Tokenizer) -> Tokenizer:
    """A copy that counts every token of a text."""
    copy = type(tokenizer).from_str(tokenizer.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy
