"""Roles that the services know. Others only choose quotas."""

from __future__ import annotations

USER_ROLE = "user"
"""Every user has it; it is never granted."""
OPERATOR = "operator"
"""Creates and disables accounts of users without a privileged role, and resets their passwords."""
ADMIN = "admin"
"""May do what operators may, to every account, and grants roles."""
WORKER = "worker"
PRIVILEGED = frozenset({OPERATOR, ADMIN, WORKER})
"""Roles that allow more than a user may do; API tokens do not carry them."""
