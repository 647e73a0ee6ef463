"""Position encodings, one per file: `build(config) -> PositionEncoding` (`_protocol.py`)."""
