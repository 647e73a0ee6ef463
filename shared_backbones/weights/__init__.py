"""Embedded weights: `<name>.toml` cards, `<name>.safetensors`, `<name>.onnx`, and what reads them."""
