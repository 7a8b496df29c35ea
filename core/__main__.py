"""``python -m backhand``."""

import sys

from backhand.cli import main

sys.exit(main())
