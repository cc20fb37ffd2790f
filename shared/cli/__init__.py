"""The command line `attendance`, for operators and consumers. Never deployed; `shared.cli.root` has the commands."""
