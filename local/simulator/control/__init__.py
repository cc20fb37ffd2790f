"""Control routes, with which tests and the demo shape the tenant, and a client."""
