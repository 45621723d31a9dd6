"""Vectors of chunks by the batch lane: half price, within a day; chunks are searchable by their words meanwhile."""
