"""Triton kernels for what no attention package fuses (CUDA only; tested on a CPU in Triton's interpreter)."""
