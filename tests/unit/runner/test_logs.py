"""Logs within limits, and lines from any chunks."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from kerma_runner.worker import logs


@given(st.lists(st.binary(max_size=300_000).map(lambda b: b * 3), max_size=6))
def test_what_fits_is_kept_whole_and_what_does_not_keeps_both_ends(chunks: list[bytes]) -> None:
    whole = bytes(32 + byte % 95 for chunk in chunks for byte in chunk)
    kept = logs.HeadAndTail()
    place = 0
    for chunk in chunks:
        kept.add(whole[place : place + len(chunk)])
        place += len(chunk)
    text = kept.text()
    if len(whole) <= logs.KEPT:
        assert text == whole.decode()
    else:
        half = logs.KEPT // 2
        gap = f"\n[{len(whole) - logs.KEPT} bytes left out]\n"
        assert text == whole[:half].decode() + gap + whole[-half:].decode()


@given(st.text(alphabet="ab\n", max_size=60), st.lists(st.integers(1, 9), min_size=60))
def test_lines_do_not_depend_on_how_they_come(text: str, sizes: list[int]) -> None:
    lines, found, place = logs.Lines(), [], 0
    for size in sizes:
        found += lines.feed(text[place : place + size].encode())
        place += size
    assert found == text.split("\n")[:-1]


def test_a_line_without_end_is_bounded() -> None:
    lines = logs.Lines()
    for _ in range(20):
        assert lines.feed(b"x" * 60_000) == []
    assert len(lines.feed(b"\n")[0]) <= 1 << 16


def test_engine_logs_are_read_with_both_ends_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "small.log").write_text("all")
    (tmp_path / "big.log").write_bytes(b"a" + b"x" * (3 << 20) + b"z")
    (tmp_path / "link.log").symlink_to("/etc/passwd")
    texts = logs.log_files(tmp_path, ("*.log",))
    assert texts.keys() == {"small.log", "big.log", "link.log"}
    assert texts["link.log"] == "[this log cannot be read: is a link, not a regular file]\n"
    assert texts["small.log"] == "all"
    assert texts["big.log"].startswith("ax")
    assert texts["big.log"].endswith("xz")
    assert f"[{(3 << 20) + 2 - logs.KEPT} bytes left out]" in texts["big.log"]


def test_control_characters_do_not_blow_up_the_stored_logs(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number:02}.log").write_bytes(b"\0\x1b\r\n" * (1 << 18))
    texts = logs.log_files(tmp_path, ("*.log",))
    assert texts["00.log"][:4] == "??\r\n"
    assert len(texts) == 20
    assert texts["19.log"] == "[left out: the other logs are too long]\n"
    assert len(logs.encode_logs(texts)) <= 2 * (logs.MOST_OF_FILES + logs.KEPT)
