"""Interfaces of the Linux kernel: Landlock, seccomp, process trees, users, memory maps."""
