"""`python -m shared.cli`, which is the same as `attendance`."""

from shared.cli.root import main

main()
