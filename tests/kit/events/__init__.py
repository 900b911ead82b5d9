"""Events and messages that tests write, and small models over them."""
