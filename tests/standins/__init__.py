"""Programs that stand in for licensed engines in tests, and writers of their result formats.

They simulate nothing: results are random numbers. They exist below the tests only; nothing of the
product knows them, and they are reached solely by tests that put them on PATH.
"""
