"""Type names used throughout."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

# NumPy array, or an array of the same interface on another device (CuPy).
Array: TypeAlias = NDArray[Any]
Shape: TypeAlias = tuple[int, ...]
DType: TypeAlias = "np.dtype[Any]"
