"""The C++ and CUDA sources, as data: CUDA kernels are compiled from here at first use."""

if __name__ != "backhand.csrc":
    raise ImportError(f"import this package as 'backhand.csrc', not as {__name__!r}")
