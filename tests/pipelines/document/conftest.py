"""Fixtures of the tests of documents."""

from fakes.page_reading import reading

__all__ = ["reading"]
