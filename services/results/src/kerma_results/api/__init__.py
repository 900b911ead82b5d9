"""Routes of the results service, in the shapes that YAPTIDE clients know."""
