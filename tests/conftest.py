"""Property tests draw the same examples in every run; new ones: --hypothesis-profile=default."""

from hypothesis import settings

settings.register_profile("fixed", derandomize=True)
settings.load_profile("fixed")
