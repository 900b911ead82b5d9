"""Seeds of engines with a small range: never shared within a job, only by chance between jobs."""

from __future__ import annotations

from collections import Counter
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from kerma_common.contracts import ids
from kerma_engines.adapter.seeds import INDEX_BITS, WIDE, narrowed

FLUKA, SHIELDHIT, TOPAS = 899_999_999, 780_000_000, 2**31 - 1
COUNTS = st.sampled_from([FLUKA, SHIELDHIT, TOPAS, 2**14, 2**14 + 1])


@given(st.text(min_size=1), COUNTS, st.lists(st.integers(0, 9999), unique=True, min_size=2))
def test_tasks_of_one_job_never_share_a_seed(job: str, count: int, indices: list[int]) -> None:
    seeds = [narrowed(ids.task_seed(job, index, 2), count) for index in indices]
    assert len(set(seeds)) == len(seeds)
    assert all(1 <= seed <= count for seed in seeds)


def test_even_the_smallest_range_is_used_once_by_a_whole_job() -> None:
    count = 1 << INDEX_BITS
    seeds = {narrowed(ids.task_seed("job", index, 2), count) for index in range(count)}
    assert seeds == set(range(1, count + 1))


def test_jobs_share_single_seeds_as_often_as_chance_has_it_and_no_rows() -> None:
    """100 jobs of 300 tasks in 2^24 seeds: n^2 / 2m = 26.8 pairs, here within five deviations."""
    count, jobs, tasks = 1 << 24, 100, 300
    taken = [
        [narrowed(ids.task_seed(f"job {job}", index, 2), count) for index in range(tasks)]
        for job in range(jobs)
    ]
    shared = Counter(chain.from_iterable(taken))
    pairs = sum(n * (n - 1) // 2 for n in shared.values())
    assert 1 <= pairs <= 53
    most = max(len({*a} & {*b}) for at, a in enumerate(taken) for b in taken[:at])
    assert most <= 3


@given(st.integers(1, WIDE - 1), COUNTS)
def test_recorded_seeds_stay_what_they_were(seed: int, count: int) -> None:
    assert narrowed(seed, count) == 1 + (seed - 1) % count


def test_the_permutation_is_fixed_for_ever() -> None:
    seed = ids.task_seed("20260101-000000-5f0c6b0e-0000-4000-8000-000000000000DIRECT", 7, 2)
    assert [narrowed(seed, count) for count in (FLUKA, SHIELDHIT, TOPAS)] == [
        75198897,
        75198897,
        1824019579,
    ]
