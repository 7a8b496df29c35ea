"""Data sets: known ones by name, and the user's own arrays and files."""

from backhand.data.dataset import Data, load
from backhand.data.files import DataError
from backhand.data.registry import registry
from backhand.data.split import (
    Split,
    batch_at,
    batch_of,
    batches,
    binarised,
    minibatches,
    steps_per_epoch,
)
from backhand.data.store import find, found, get, verify

__all__ = [
    "Data",
    "DataError",
    "Split",
    "batch_at",
    "batch_of",
    "batches",
    "binarised",
    "find",
    "found",
    "get",
    "load",
    "minibatches",
    "registry",
    "steps_per_epoch",
    "verify",
]
