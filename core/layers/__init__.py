"""Layers: ``y, backward = layer(x)``, then ``dx = backward(dy, g)``."""
