"""A simulated login endpoint: the parts of Microsoft Entra ID that the app uses.

Signing keys and their publication, tokens for a federated app registration, sign-in of a user by device code or in
a browser. Like the simulated Graph it shares no code with the product, so that a misreading there shows here.
"""
