"""Token poolings, one per file: `build(config) -> Pool` (`_protocol.py`)."""
