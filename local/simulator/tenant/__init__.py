"""The simulated tenant: people, meetings, events and the calls held in them."""
