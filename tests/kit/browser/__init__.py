"""A page that tests open in Chromium."""
