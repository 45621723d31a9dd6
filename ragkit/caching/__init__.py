"""Caches of providers and our own: which prefix is worth keeping, who writes it, and answers that were given before."""
