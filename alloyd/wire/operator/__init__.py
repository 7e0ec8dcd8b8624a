"""What only the operator may do, in the control dialect under /operator, on the data directory's socket alone."""
