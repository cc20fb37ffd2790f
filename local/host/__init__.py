"""The functions host: what Azure's .NET host does around a Python app, on one machine.

Microsoft's own `azure_functions_runtime` indexes the app and calls it, as in Azure; this package listens, polls,
delivers, retries and keeps time. It knows nothing about the app it runs.
"""
