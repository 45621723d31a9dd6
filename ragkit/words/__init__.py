"""Texts and questions as words: read once, compared often."""
