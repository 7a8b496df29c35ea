"""How fast the library is, beside PyTorch and JAX: ``backhand bench``, one file per case family."""

if __name__ != "backhand.bench":
    raise ImportError(f"import this package as 'backhand.bench', not as {__name__!r}")
