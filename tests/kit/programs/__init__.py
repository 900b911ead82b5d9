"""Programs that tests run in place of engines, or beside them."""
