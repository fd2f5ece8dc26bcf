"""Groups of ranks for data-parallel training: by MPI, MPI with NCCL, or threads of one process."""
