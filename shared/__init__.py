"""Archive Microsoft Teams attendance reports to Blob storage.

Nothing in this package imports azure.functions; triggers and bindings are in function_app.py.
"""

__version__ = "0.1.0"
