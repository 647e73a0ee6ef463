"""The one attention and what it is tested against."""
