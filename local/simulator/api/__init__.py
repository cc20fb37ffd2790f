"""Graph's routes: reading the tenant, subscriptions, tokens and limits."""
