"""Parameter-efficient fine-tuning: small modules beside frozen weights."""
