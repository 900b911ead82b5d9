"""The runner service: tasks, their leases, the fair queue, and the worker agent."""
