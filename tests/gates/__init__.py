"""What can be proven of the CUDA kernels without a GPU; each gate also finds a planted fault."""
