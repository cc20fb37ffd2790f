"""The routes outside of Graph by which tests and the demo shape the tenant, and their client."""
