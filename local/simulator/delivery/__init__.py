"""Subscriptions, and the notifications that Graph delivers for them."""
