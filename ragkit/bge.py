"""What the BGE adapters share: FlagEmbedding on one device, loaded on first use, run in a thread."""

from __future__ import annotations

import json
from types import ModuleType

from ragkit.errors import ConfigError, MissingExtra
from ragkit.localmodel import model_folder


def import_flag_embedding(purpose: str) -> ModuleType:
    """A slow import: PyTorch and all of transformers come with it."""
    try:
        import FlagEmbedding
    except ModuleNotFoundError as error:
        if error.name == "FlagEmbedding":
            raise MissingExtra("bge", purpose) from error
        raise ConfigError(f"FlagEmbedding cannot be imported ({error}): pip install -U 'ragkit[bge]'") from error
    library: ModuleType = FlagEmbedding
    return library


def one_device(device: str | None) -> str:
    """Left to itself FlagEmbedding takes every GPU and starts a pool of processes."""
    if device is not None:
        return device
    import torch

    return "cuda:0" if torch.cuda.is_available() else "cpu"


def hidden_size(model: str) -> int | None:
    """The vector length of a model in a folder; None where there is no such folder."""
    folder = model_folder(model)
    if folder is None:
        return None
    try:
        return int(json.loads((folder / "config.json").read_text("utf-8"))["hidden_size"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{folder} holds no model: its config.json with hidden_size is missing") from error
