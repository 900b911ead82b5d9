"""The worker agent: a process of its own that runs engines and knows no database."""
