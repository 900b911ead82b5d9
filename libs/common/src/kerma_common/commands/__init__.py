"""Commands: load, decide, append, retry; and waiting until a projection has seen the result."""
