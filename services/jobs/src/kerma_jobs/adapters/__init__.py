"""How the jobs service reaches the outside."""
