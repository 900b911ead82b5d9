"""The commands of ``kerma``, a module for each group of them."""
