"""Token reducers, one per file: `build(config) -> Reducer` (`_protocol.py`)."""
