"""The read model of the results service, which answers without opening a blob."""
