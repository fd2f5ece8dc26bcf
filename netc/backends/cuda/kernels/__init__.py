"""CUDA C++ texts; :mod:`netc.backends.cuda.source` makes kernels of them."""
