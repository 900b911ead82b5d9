"""Programs that stand in for licensed engines in tests, and writers of their result formats.

They simulate nothing: results are random numbers. They exist only below the tests; the product does
not know them, and only tests that put them on PATH reach them.
"""
