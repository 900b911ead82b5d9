"""Laptop mode: NATS, PostgreSQL and the five services as one command."""
