"""Event hub on this machine.

A log for each of two partitions, which the simulator writes and the host reads. No emulator of the service can be
had as a package, so this is not one: it has the parts that an app can notice. Sources:
https://learn.microsoft.com/azure/event-hubs/event-hubs-features (partitions, offsets, consumer groups).
"""
