"""One package per op family: a front door, the NumPy reference, and its fast forms."""

if __name__ != "backhand.kernels":
    raise ImportError(f"import this package as 'backhand.kernels', not as {__name__!r}")
