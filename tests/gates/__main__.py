"""python -m tests.gates: every gate for the CUDA kernels; ``record`` writes resources.json anew."""

import sys

from tests.gates import nvrtc, sanitizers

if __name__ == "__main__":
    if sys.argv[1:] == ["record"]:
        print(f"{nvrtc.record()} kernels on record, by NVRTC {nvrtc.version()}")
    else:
        sys.exit(sanitizers.main(sys.argv[1:]))
