"""No user waits longer than a round, and none gets more than its weight."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from kerma_runner.domain.fairness import Deficits, pick

Queues = dict[str, dict[str, list[str]]]

users = st.sampled_from(["ada", "bo", "cy", "di"])
sizes = st.dictionaries(
    users, st.dictionaries(st.sampled_from(["j1", "j2", "j3"]), st.integers(0, 8)), max_size=4
)


def tasks(sizes_: dict[str, dict[str, int]]) -> Queues:
    return {
        user: {job: [f"{user}/{job}/{n}" for n in range(size)] for job, size in jobs.items()}
        for user, jobs in sizes_.items()
    }


def take(queues: Queues, picks: tuple[str, ...]) -> None:
    for picked in picks:
        user, job, _ = picked.split("/")
        assert queues[user][job].pop(0) == picked


@given(sizes, st.integers(0, 40), st.dictionaries(users, st.integers(1, 5)))
def test_a_pick_fills_the_capacity_with_distinct_tasks_in_job_order(
    sizes_: dict[str, dict[str, int]], capacity: int, weights: dict[str, int]
) -> None:
    queues = tasks(sizes_)
    total = sum(len(job) for jobs in queues.values() for job in jobs.values())
    picks, _ = pick(queues, Deficits(), capacity, weights)
    assert len(picks) == min(capacity, total)
    take(queues, picks)


@given(sizes, st.lists(st.integers(1, 7), min_size=40, max_size=40))
@settings(max_examples=60)
def test_picking_in_any_portions_gives_the_same_order(
    sizes_: dict[str, dict[str, int]], portions: list[int]
) -> None:
    weights = {"ada": 3}
    whole, _ = pick(tasks(sizes_), Deficits(), 1000, weights)
    queues, deficits = tasks(sizes_), Deficits()
    parts: list[str] = []
    for capacity in portions:
        picks, deficits = pick(queues, deficits, capacity, weights)
        take(queues, picks)
        parts.extend(picks)
    assert parts == list(whole)[: len(parts)]
    assert len(parts) == min(len(whole), sum(portions))


@given(
    st.integers(1, 4),
    st.dictionaries(users, st.integers(1, 5)),
    st.lists(st.integers(1, 9), min_size=1),
)
def test_a_newcomer_is_served_within_one_round_however_long_the_others_queues_are(
    capacity: int, weights: dict[str, int], before: list[int]
) -> None:
    crowd = ["ada", "bo", "cy"]
    queues = tasks({user: {"j1": 500} for user in crowd})
    deficits = Deficits()
    for portion in before[:5]:
        picks, deficits = pick(queues, deficits, portion, weights)
        take(queues, picks)
    queues |= tasks({"di": {"j1": 1}})
    served = 0
    while "di/j1/0" in queues["di"]["j1"]:
        picks, deficits = pick(queues, deficits, capacity, weights)
        take(queues, picks)
        served += len(picks)
    assert served <= sum(weights.get(user, 1) for user in crowd) + capacity


def test_shares_follow_weights() -> None:
    queues = tasks({"ada": {"j1": 400}, "bo": {"j1": 400}})
    picks, _ = pick(queues, Deficits(), 80, {"ada": 3})
    assert Counter(p.split("/")[0] for p in picks) == {"ada": 60, "bo": 20}


def test_jobs_of_a_user_take_turns() -> None:
    queues = tasks({"ada": {"j1": 100, "j2": 2}})
    picks, _ = pick(queues, Deficits(), 4, {})
    assert picks == ("ada/j1/0", "ada/j2/0", "ada/j1/1", "ada/j2/1")


def test_a_user_without_tasks_saves_nothing_up() -> None:
    _, deficits = pick(tasks({"ada": {"j1": 1}}), Deficits(), 1, {"ada": 9})
    assert deficits == Deficits()
