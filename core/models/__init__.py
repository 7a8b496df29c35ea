"""Models: one file each, from the paper's equations to the sampling."""
