"""Services that tests run in their own process."""
