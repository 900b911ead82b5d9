"""Import of an existing YAPTIDE database: its users, and their jobs with everything that belongs to them."""
