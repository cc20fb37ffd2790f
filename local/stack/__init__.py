"""The programs of one machine: storage, identity, the functions host, and what brings them up together."""
