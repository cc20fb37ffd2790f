"""Deployment to Azure, with the standard library and the Azure CLI alone: no package has to be installed first.

`scripts/deploy` and `scripts/rotate` are the programs; this package holds their parts.
"""
