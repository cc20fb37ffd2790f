"""The embedded stack: the whole system on one machine, everything real but Microsoft Graph."""
