"""Use cases of the runner: queue, dispatch, claim, expire."""
