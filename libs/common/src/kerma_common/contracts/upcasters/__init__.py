"""Steps that turn stored data of an older event version into the next; one module a context."""
