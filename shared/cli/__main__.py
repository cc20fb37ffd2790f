"""`python -m shared.cli`, which is the same as `attendance`."""

from .root import main

main()
