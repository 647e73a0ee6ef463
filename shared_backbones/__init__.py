"""Backbones and techniques. Knows tensors; knows no domain and no file format but weights.

Letters in shapes: B batch, N tokens (prefix and patches), C or dim channels, h heads, d channels of a head, K classes,
H W rows and columns of an image, D H W a volume, T H W a clip; `*spatial`, `*grid`: all axes of input and patches.
"""
