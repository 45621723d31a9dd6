"""Contexts of chunks: a sentence or two, written by a model, that say what the document says around a chunk."""
