"""Post-training quantization, one method per file: `build(config) -> Method` (`_protocol.py`)."""
