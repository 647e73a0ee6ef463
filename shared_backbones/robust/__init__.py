"""Losses that make a network robust against what real pictures do."""
