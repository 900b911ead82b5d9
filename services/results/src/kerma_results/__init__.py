"""The results service: merges the outputs of tasks and serves the merged pages."""
