"""Engines: a card's network compiled once and called many times. On a CPU no torch is imported."""
