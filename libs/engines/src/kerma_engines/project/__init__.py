"""The editor's project: its model, its checks and its older formats."""
