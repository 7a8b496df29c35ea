"""pytest -p tests.sanitize.plugin: ``backhand._native`` is the file that SANITIZED names."""

import os

from tests.mutants.checks import exchange_native

exchange_native(os.environ["SANITIZED"])
