"""The product: archives Microsoft Teams attendance reports to Blob storage.

Nothing in here imports azure.functions; triggers and bindings live in function_app.py.
"""

__version__ = "0.1.0"
