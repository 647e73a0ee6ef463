"""vitapps: vision transformers for people who run them on real data. This package level imports no torch."""

__version__ = "0.1.0"
