"""What the app costs and withstands, measured beside something else."""
