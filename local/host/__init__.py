"""The Functions host: a small stand-in for Azure's .NET host, on one machine.

Microsoft's own `azure_functions_runtime` indexes the app and calls it, as in Azure; this package listens, polls,
delivers, retries and keeps time. It knows nothing about the app it runs.
"""
