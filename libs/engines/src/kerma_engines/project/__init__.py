"""The editor's project: its model, its checks and the older forms it comes in."""
