"""Generators, one file per system, imported on use."""
