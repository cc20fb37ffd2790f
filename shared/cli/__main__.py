"""`python -m shared.cli`, which is the same as `attendance`."""

from .main import main

main()
