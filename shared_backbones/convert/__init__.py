"""Published checkpoints to our state dict, one pure function a source."""
