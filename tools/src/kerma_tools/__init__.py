"""Tools for developers of Kerma: tests, lint, benches and generated files. They need a clone."""
