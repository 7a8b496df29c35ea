"""One file for each op: ``CASES``, and ``EQUATIONS``, the ids that the harness proves with them.

What a case can say is in ``Case`` (tests/kernels/harness.py).
"""

from importlib import import_module
from pathlib import Path

MODULES = {
    path.stem: import_module(f"{__name__}.{path.stem}")
    for path in sorted(Path(__file__).parent.glob("[!_]*.py"))
}
