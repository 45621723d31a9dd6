"""Calls to what may fail: attempts, retries, and the gate before a provider."""
