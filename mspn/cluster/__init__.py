"""Where it runs: launching, leases of GPUs, checks and costs before a long run, profiles."""
