"""pytest -p tests.gates.plugin: the emulator is the file that EMULATED names."""

import os

from backhand.kernels import emulator

emulator._chosen.set(emulator.Library(os.environ["EMULATED"]))
