"""Faces: where they are, whose they are, and whether a picture of one can be trusted."""
