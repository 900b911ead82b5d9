"""Forms of a page: arrays, JSON, compressed fragments; bytes in, bytes out."""
