"""The part of Microsoft Entra ID that the product and its command line speak to, as a login endpoint.

Signing keys and their publication, tokens for a federated app registration, sign-in of a user by device code or in
a browser. Like the simulated Graph it shares no code with the product, so that a misreading there shows here.
"""
