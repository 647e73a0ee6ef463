"""Several images of any size in one sequence: how they are packed, and a ViT that runs packed."""
