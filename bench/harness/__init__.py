"""What measures the cases.  A case file needs ``Case`` and, for its peers, the builders."""

from backhand.bench.harness.case import PARITY as PARITY
from backhand.bench.harness.case import Case as Case
from backhand.bench.harness.steps import Drawn as Drawn
from backhand.bench.harness.steps import jax_adam as jax_adam
from backhand.bench.harness.steps import jax_step as jax_step
from backhand.bench.harness.steps import our_training as our_training
from backhand.bench.harness.steps import torch_step as torch_step
