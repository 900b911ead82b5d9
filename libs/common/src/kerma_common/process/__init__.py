"""Process managers: what follows from events, across aggregates and services."""
