"""Files and folders: what engines read, what they take, and their removal."""
