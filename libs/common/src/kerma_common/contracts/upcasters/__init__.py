"""Functions that turn stored data of an event version into the next; one module per context."""
