"""Organizations: who owns everything else."""
