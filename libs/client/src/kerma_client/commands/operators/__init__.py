"""``kerma admin``: one module per group of commands."""
