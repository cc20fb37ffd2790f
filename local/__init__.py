"""The local stack: the whole system on one machine, with a simulated Graph."""
