"""The commands of ``kerma``, one module per group."""
