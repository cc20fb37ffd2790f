"""The routes of Microsoft Graph that read the tenant and keep subscriptions, with their tokens and limits."""
