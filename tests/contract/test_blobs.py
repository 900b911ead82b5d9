"""The blob store contract, on memory, a folder, and a server that speaks S3."""

import asyncio
import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import boto3
import pytest

from kerma_common.blobs import folder
from kerma_common.blobs.store import BlobStore, open_blobs
from kerma_common.contracts.refs import Ref
from kerma_common.errors import ContractViolation, NotFound, Unavailable
from kerma_common.settings import BlobSettings

SERVE_S3 = """
import sys
from werkzeug.serving import make_server
from moto.server import DomainDispatcherApplication, create_backend_app
server = make_server(
    "127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True
)
print(server.server_port, flush=True)
server.serve_forever()
"""
BIG = os.urandom(12 * 2**20 + 17)


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SERVE_S3],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    endpoint = f"http://127.0.0.1:{int(process.stdout.readline())}"
    boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="id",
        aws_secret_access_key="key",
    ).create_bucket(Bucket="kerma")
    yield endpoint
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    if request.param == "folder":
        return open_blobs(BlobSettings(url=f"file://{tmp_path}/with%20space"))
    return open_blobs(
        BlobSettings(
            url="s3://kerma/some/prefix",
            endpoint=request.getfixturevalue("s3_endpoint"),
            access_key="id",
            secret_key="key",
        )
    )


async def _pieces(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


@pytest.mark.parametrize("content", [b"", b"protons", BIG], ids=["empty", "small", "big"])
async def test_bytes_files_and_streams_are_one_blob(
    store: BlobStore, content: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    expected = Ref(hashlib.sha256(content).hexdigest(), len(content), "text/plain")
    assert await store.put(content, "text/plain") == expected
    assert await store.put(file, "text/plain") == expected
    assert await store.put(_pieces(content, 700_001), "text/plain") == expected
    assert await store.get(expected) == content
    assert b"".join([piece async for piece in store.stream(expected)]) == content


async def test_many_blobs_are_stored_together(store: BlobStore) -> None:
    contents = [(os.urandom(1000), "text/plain") for _ in range(40)] + [(b"", "text/html")]
    twice = [*contents, contents[0]]
    refs = await store.put_all(twice)
    expected = [Ref(hashlib.sha256(body).hexdigest(), len(body), kind) for body, kind in twice]
    assert refs == expected
    assert [await store.get(ref) for ref in refs] == [body for body, _ in twice]
    assert await store.put_all(contents) == refs[:-1]
    assert await store.put_all([]) == []


async def test_a_stream_alone_can_be_stored(store: BlobStore) -> None:
    content = os.urandom(9 * 2**20)
    assert await store.get(await store.put(_pieces(content, 2**20))) == content


async def test_ranges_are_cut_at_the_end(store: BlobStore) -> None:
    ref = await store.put(b"0123456789 range")
    assert await store.get_range(ref, 2, 5) == b"234"
    assert await store.get_range(ref, 11, 99) == b"range"
    assert await store.get_range(ref, 16, 99) == b""
    with pytest.raises(ValueError, match="no range"):
        await store.get_range(ref, 5, 2)


async def test_unknown_blobs_are_not_found(store: BlobStore, tmp_path: Path) -> None:
    ref = Ref(hashlib.sha256(b"never stored").hexdigest(), 12)
    assert not await store.exists(ref)
    with pytest.raises(NotFound):
        await store.get(ref)
    with pytest.raises(NotFound):
        await store.get_range(ref, 0, 1)
    with pytest.raises(NotFound):
        await store.fetch(ref, tmp_path / "out")
    assert list(tmp_path.glob(".*")) == []


async def test_a_wrong_size_or_key_is_refused(store: BlobStore) -> None:
    ref = await store.put(b"some content")
    assert await store.exists(ref)
    assert not await store.exists(Ref(ref.sha256, 3))
    with pytest.raises(ContractViolation, match="damaged"):
        await store.get(Ref(ref.sha256, 3))
    with pytest.raises(ValueError, match="sha256"):
        await store.get(Ref("../../etc/passwd", 3))


async def test_fetched_files_are_whole(store: BlobStore, tmp_path: Path) -> None:
    ref = await store.put(BIG)
    await store.fetch(ref, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == BIG
    with pytest.raises(ContractViolation):
        await store.fetch(Ref(ref.sha256, 1), tmp_path / "damaged")
    assert not (tmp_path / "damaged").exists()


async def test_an_aborted_stream_leaves_nothing(store: BlobStore) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await store.put(broken())
    assert not await store.exists(Ref(hashlib.sha256(b"half").hexdigest(), 4))


async def test_concurrent_puts_of_the_same_content_agree(store: BlobStore) -> None:
    refs = await asyncio.gather(*(store.put(b"raced") for _ in range(8)))
    assert len(set(refs)) == 1
    assert await store.get(refs[0]) == b"raced"


async def test_damage_is_told(tmp_path: Path) -> None:
    store = open_blobs(BlobSettings(url=f"file://{tmp_path}/blobs"))
    ref = await store.put(b"whole")
    (tmp_path / "blobs" / ref.sha256[:2] / ref.sha256).write_bytes(b"whorl")
    with pytest.raises(ContractViolation):
        await store.get(ref)


async def test_what_a_killed_writer_left_is_in_nobodys_way(tmp_path: Path) -> None:
    store = open_blobs(BlobSettings(url=f"file://{tmp_path}/blobs"))
    digest = hashlib.sha256(b"whole").hexdigest()
    left = tmp_path / "blobs" / digest[:2] / f"{digest}#1"
    left.parent.mkdir()
    left.write_bytes(b"who")
    ref = await store.put(b"whole")
    assert ref.sha256 == digest
    assert await store.get(ref) == b"whole"
    assert sorted(place.name for place in left.parent.iterdir()) == [digest, left.name]


@pytest.mark.parametrize("many", [False, True])
async def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path, many: bool) -> None:
    store = open_blobs(BlobSettings(url=f"file://{tmp_path}/blobs"))
    digest = hashlib.sha256(b"whole").hexdigest()
    (tmp_path / "blobs" / digest[:2]).write_bytes(b"a file where a folder should be")
    with pytest.raises(Unavailable):
        await (store.put_all([(b"whole", "text/plain")]) if many else store.put(b"whole"))


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of everything that is synced."""
    paths: list[str] = []

    def sync(descriptor: int) -> None:
        paths.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        os.fdatasync(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    return paths


@pytest.mark.parametrize("content", [b"whole", BIG], ids=["bytes", "a stream"])
async def test_what_another_process_left_is_synced_once_before_it_is_acknowledged(
    tmp_path: Path, synced: list[str], content: bytes
) -> None:
    """It may have been killed between the file and its sync."""
    digest = hashlib.sha256(content).hexdigest()
    left = tmp_path.resolve() / "blobs" / digest[:2] / digest
    left.parent.mkdir(parents=True)
    left.write_bytes(content)
    store = open_blobs(BlobSettings(url=f"file://{tmp_path}/blobs"))
    for _ in range(2):
        await store.put(content if content != BIG else _pieces(content, 2**20))
        assert synced == [str(left), str(left.parent), str(left.parent.parent)]


async def test_files_that_last_are_remembered_up_to_a_bound(
    tmp_path: Path, synced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "MOST_REMEMBERED", 2)
    store = open_blobs(BlobSettings(url=f"file://{tmp_path}/blobs"))
    refs = [await store.put(content) for content in (b"1", b"2", b"3")]
    synced.clear()
    await store.put(b"3")
    assert synced == []
    await store.put(b"1")
    assert Path(synced[0]).name == refs[0].sha256


async def test_the_entry_of_a_new_folder_is_synced_with_its_first_file(
    tmp_path: Path, synced: list[str]
) -> None:
    store = open_blobs(BlobSettings(url=f"file://{tmp_path}/blobs"))
    root = tmp_path.resolve() / "blobs"
    contents = (b"%d" % number for number in range(10_000))
    alike = [body for body in contents if hashlib.sha256(body).hexdigest().startswith("00")][:2]
    for body in alike:
        await store.put(body)
    first, second = (str(root / "00" / hashlib.sha256(body).hexdigest()) for body in alike)
    assert synced == [first, f"{root}/00", str(root), second, f"{root}/00"]


async def test_a_store_that_does_not_answer_is_unavailable() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        store = open_blobs(
            BlobSettings(
                url="s3://kerma/x",
                endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}",
                access_key="id",
                secret_key="key",
            )
        )
        with pytest.raises(Unavailable):
            await store.get(Ref(hashlib.sha256(b"x").hexdigest(), 1))
