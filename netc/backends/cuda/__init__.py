"""The GPU backend: one device arena, kernels compiled at run time, one graph launch a call."""
