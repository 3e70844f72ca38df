"""A stand-in for a GPU: the PTX of kernels, executed by the CPU, on arrays as strict as CuPy's.

Numba's simulator runs the Python text of a kernel; here runs what NVVM made of it, with the types, the widths and the fused
operations that a GPU is given, thread after thread in any order. Every access of memory is checked: that it lies within an array
of the launch, and that no other thread of the launch touches the same element unless both do so atomically. What it does not
show: ptxas, the driver, real concurrency, CuPy itself.
"""
