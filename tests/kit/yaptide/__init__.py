"""A YAPTIDE database, as its backend makes and fills it."""
