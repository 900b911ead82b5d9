"""What stands between clients and services."""
