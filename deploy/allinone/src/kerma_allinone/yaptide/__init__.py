"""Import of a YAPTIDE database: users, and jobs with everything that belongs to them."""
