"""Measurements, each a module with its own `main`; README.md says how each is made."""
