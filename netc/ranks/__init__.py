"""Groups of ranks that train one net: by MPI, by MPI and NCCL, or threads of one process."""
