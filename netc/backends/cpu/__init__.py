"""NumPy arrays, kernels compiled by Numba."""
