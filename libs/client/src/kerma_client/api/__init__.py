"""The native interface without IO: what calls send, how answers are read, when to try again."""
