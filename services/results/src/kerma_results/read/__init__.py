"""The read model: what can be asked of results without opening a blob."""
