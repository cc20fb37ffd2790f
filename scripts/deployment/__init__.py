"""Deployment to Azure with only the standard library and the Azure CLI.

`scripts/deploy` and `scripts/rotate` are the programs; this package holds their parts.
"""
