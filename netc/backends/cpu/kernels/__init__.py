"""Kernels, written in Python and compiled by Numba.

Imported only while something is to be compiled: these modules import Numba. A kernel's factory
takes the machine and the options of a :class:`netc.backends.cpu.jit.KernelSpec` and returns a
function ``kernel(args, begin, end, scratch)`` of four int64: the address of the argument block,
the units of work to do, and the address of the thread's scratch memory.
"""
