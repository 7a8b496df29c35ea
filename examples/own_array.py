"""A table of real-valued columns: train a VAE on it, measure it, encode, sample, save and load.

``python examples/own_array.py [FOLDER]``: the run goes to FOLDER, or to a temporary one.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import backhand as bh

folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()) / "table"

# 3,000 rows, 6 columns in different units; two hidden causes and some noise.
rng = np.random.default_rng(0)
causes = rng.standard_normal((3000, 2))
units = np.array([1.0, 10.0, 0.01, 5.0, 100.0, 1.0])
x = (causes @ rng.standard_normal((2, 6)) + 0.3 * rng.standard_normal((3000, 6))) * units + 7

# A tenth of the training rows, drawn at random, is held out for validation.
data = bh.data.load({"train_x": x[:2500], "test_x": x[2500:]})
training = bh.TrainConfig(epochs=40, batch=50, lr=3e-3)
config = bh.VAEConfig(hidden=(32,), latent=2, variance="learned")
model = bh.VAE.create(config, data.spec, data.train.x)  # the columns' scales are taken from these
print(f"{model.params.vector.size} parameters in {', '.join(model.params.parts)}")

# A run is a folder with the configuration, the metrics and the checkpoints.
result = bh.fit(model, data, training, run=folder)
print(f"trained {result.steps} steps: valid {result.valid:.3f} nats")

# The best model by the validation bound; nothing but the folder is needed.
model = bh.load(folder)

# Nats per row, in the units of the table: smaller is better.  Here the truth can be computed.
for bound, k in (("elbo", 100), ("iwae", 100)):
    found = bh.evaluate(model, data, bound=bound, k=k)
    print(f"{bound}, k = {k}: {found.nats:.3f} +- {found.stderr:.3f} nats, {found.n} test rows")
covariance = np.cov(x[:2500].T)
away = x[2500:] - x[:2500].mean(axis=0)
square = (away @ np.linalg.inv(covariance) * away).sum(axis=1)
log_density = -0.5 * (square + np.linalg.slogdet(2 * np.pi * covariance)[1])
print(f"a Gaussian fitted to the same rows: {-log_density.mean():.3f} nats")

# Encode: mean and log-variance of the two latent variables, for each row.
test = next(bh.data.batches(data.converted("float32").test, 500))
q = model.encode(test)
print(f"encoded {q.mean.shape}, standard deviations about {np.exp(q.logvar / 2).mean():.2f}")

# Sample: new rows, in the units of the table.
draw = model.sample(1000, bh.Noise(seed=1))
print("column deviations, data:   ", *(f"{std:.3g}" for std in x.std(axis=0)))
print("column deviations, samples:", *(f"{std:.3g}" for std in draw.x.std(axis=0)))
