"""The blob store port and its adapter on `obstore`: a local folder or an S3-compatible store.

A blob's key is `<first two hex digits>/<sha256>`, so storing is idempotent and a blob never
changes. No half-written blob is ever visible: a folder renames a finished draft, and an object
store shows complete uploads only. Reads of whole blobs verify size and hash.

Errors: `NotFound` (no such blob), `Unavailable` (the store does not answer or is full),
`ContractViolation` (the hash of the stored bytes differs from their name).
"""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

import obstore
from obstore import exceptions
from obstore.store import LocalStore, ObjectStore, S3Store

from kerma_common.blobs.folder import BlobFolder
from kerma_common.contracts.refs import Ref
from kerma_common.errors import ContractViolation, NotFound, Unavailable
from kerma_common.settings import BlobSettings

if TYPE_CHECKING:
    from obstore.store import S3Config  # exists for type checkers only

CHUNK = 1 << 20
SPOOL_LIMIT = 8 << 20
PROBE_BYTES = 4096
PARTS_AT_ONCE = 4
"""Number of 5 MiB parts of an upload that are in memory at a time."""
HASHED_HERE = 1 << 16
"""Most bytes that are hashed on the event loop; a thread hashes more without holding it up."""

UPLOADS_AT_ONCE = 32
"""Small blobs that are uploaded to an object store concurrently."""

RETRY_TIME = timedelta(seconds=15)
OCTETS = "application/octet-stream"

Pieces = Callable[[], Iterator[bytes]]
"""Yields the same bytes in pieces each time it is called."""

Source = bytes | Path | Pieces | AsyncIterator[bytes]


class BlobStore(Protocol):
    """Bytes by their SHA-256."""

    async def put(self, source: Source, media: str = OCTETS) -> Ref:
        """Store bytes, a file's content or a stream; equal content is stored once.

        ``Pieces`` of more than ``CHUNK`` bytes are read twice, first to hash them, so that no copy is
        made. Errors they raise propagate, and nothing is stored then.
        """

    async def put_all(self, contents: Sequence[tuple[bytes, str]]) -> list[Ref]:
        """Store many small blobs, given with their media types; when it returns, all of them last.

        Much faster than one after the other: they reach the disk together.
        """

    async def get(self, ref: Ref) -> bytes:
        """Return the whole blob, verified."""

    async def get_range(self, ref: Ref, start: int, end: int) -> bytes:
        """Return bytes `start` to `end` (exclusive), cut at the blob's size; not verified."""

    async def exists(self, ref: Ref) -> bool:
        """Return whether the blob exists with its whole size."""

    def stream(self, ref: Ref) -> AsyncIterator[bytes]:
        """Yield the blob in pieces; raises `ContractViolation` after the last if it is damaged."""

    async def fetch(self, ref: Ref, target: Path) -> None:
        """Write the verified blob to `target`, which appears complete or not at all."""

    async def probe(self, name: str) -> None:
        """Write a small object, replacing that of the last probe of this name."""


def open_blobs(settings: BlobSettings) -> "ObstoreBlobs":
    """Open the store that the settings name."""
    parts = urlsplit(settings.url)
    if parts.scheme == "file":
        folder = Path(unquote(parts.path))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return ObstoreBlobs(LocalStore(prefix=folder, mkdir=True), folder=folder)
    assert settings.access_key is not None
    assert settings.secret_key is not None
    config: S3Config = {
        "access_key_id": settings.access_key.get_secret_value(),
        "secret_access_key": settings.secret_key.get_secret_value(),
        "region": settings.region,
    }
    if settings.endpoint is not None:
        config["endpoint"] = settings.endpoint
    store = S3Store(
        parts.netloc,
        prefix=parts.path.strip("/") or None,
        config=config,
        client_options={"allow_http": (settings.endpoint or "").startswith("http://")},
        retry_config={"max_retries": 3, "retry_timeout": RETRY_TIME},
    )
    return ObstoreBlobs(store)


class ObstoreBlobs:
    """The adapter; `folder` is set for local stores, whose files are synced to disk."""

    def __init__(self, store: ObjectStore, *, folder: Path | None = None) -> None:
        self._store = store
        self._folder = None if folder is None else BlobFolder(folder)

    async def put(self, source: Source, media: str = OCTETS) -> Ref:
        """See `BlobStore`."""
        if isinstance(source, bytes):
            return await self._keep(Ref(await _digest(source), len(source), media), source)
        if isinstance(source, Path):
            with await asyncio.to_thread(source.open, "rb") as file:
                return await self._keep_file(file, media)
        if callable(source):
            return await self._keep_pieces(source, media)
        with tempfile.SpooledTemporaryFile(SPOOL_LIMIT) as spool:
            async for piece in source:
                await asyncio.to_thread(spool.write, piece)
            spool.seek(0)
            return await self._keep_file(spool, media)

    async def put_all(self, contents: Sequence[tuple[bytes, str]]) -> list[Ref]:
        """See `BlobStore`."""
        if self._folder is not None:
            return await asyncio.to_thread(self._keep_all_here, self._folder, contents)
        kept: list[Ref] = []
        for start in range(0, len(contents), UPLOADS_AT_ONCE):
            some = contents[start : start + UPLOADS_AT_ONCE]
            kept += await asyncio.gather(*(self.put(body, media) for body, media in some))
        return kept

    def _keep_all_here(
        self, folder: BlobFolder, contents: Sequence[tuple[bytes, str]]
    ) -> list[Ref]:
        refs = []
        for body, media in contents:
            refs.append(ref := Ref(hashlib.sha256(body).hexdigest(), len(body), media))
            key = _key(ref.sha256)
            with _translated(ref):
                if folder.size(key) != ref.size:
                    obstore.put(self._store, key, body)
        with _translated("of many blobs"):
            folder.sync_all()
        return refs

    async def _keep_file(self, file: IO[bytes], media: str) -> Ref:
        digest = await asyncio.to_thread(hashlib.file_digest, file, "sha256")  # type: ignore[arg-type]
        size = file.tell()
        file.seek(0)
        return await self._keep(Ref(digest.hexdigest(), size, media), file)

    async def _keep_pieces(self, pieces: Pieces, media: str) -> Ref:
        ref, whole = await asyncio.to_thread(_ref_of, pieces, media)
        return await self._keep(ref, _checked(ref, pieces()) if whole is None else whole)

    async def _keep(self, ref: Ref, content: bytes | IO[bytes] | AsyncIterator[bytes]) -> Ref:
        if self._folder is not None and isinstance(content, bytes):
            # A change of threads costs as much as a small file: one for everything.
            await asyncio.to_thread(self._keep_here, self._folder, ref, content)
            return ref
        key = _key(ref.sha256)
        there = await self.exists(ref)
        with _translated(ref):
            if there:
                if self._folder is not None:
                    await asyncio.to_thread(self._folder.ensure, key)
                return ref
            # Object stores upload file objects in parts, so memory stays bounded.
            await obstore.put_async(self._store, key, content, max_concurrency=PARTS_AT_ONCE)
            if self._folder is not None:
                await asyncio.to_thread(self._folder.sync, key)
        return ref

    def _keep_here(self, folder: BlobFolder, ref: Ref, content: bytes) -> None:
        """Store bytes in the local folder, from a thread."""
        key = _key(ref.sha256)
        with _translated(ref):
            if folder.size(key) == ref.size:
                folder.ensure(key)
                return
            obstore.put(self._store, key, content)
            folder.sync(key)

    async def get(self, ref: Ref) -> bytes:
        """See `BlobStore`."""
        key = _key(ref.sha256)
        with _translated(ref):
            if self._folder is not None and ref.size <= CHUNK:
                # one byte more shows that it is longer than it should be
                content = await asyncio.to_thread(self._folder.read, key, ref.size + 1)
            else:
                result = await obstore.get_async(self._store, key)
                content = bytes(await result.bytes_async())
        _verify(ref, len(content), await _digest(content))
        return content

    async def get_range(self, ref: Ref, start: int, end: int) -> bytes:
        """See `BlobStore`."""
        if not 0 <= start <= end:
            raise ValueError(f"no range: {start} to {end}")
        end = min(end, ref.size)
        if start >= end:
            return b""
        with _translated(ref):
            found = await obstore.get_range_async(
                self._store, _key(ref.sha256), start=start, end=end
            )
        return bytes(found)

    async def exists(self, ref: Ref) -> bool:
        """See `BlobStore`."""
        try:
            with _translated(ref):
                found = await obstore.head_async(self._store, _key(ref.sha256))
        except NotFound:
            return False
        return found["size"] == ref.size

    async def stream(self, ref: Ref) -> AsyncIterator[bytes]:
        """See `BlobStore`."""
        digest, size = hashlib.sha256(), 0
        with _translated(ref):
            result = await obstore.get_async(self._store, _key(ref.sha256))
            async for piece in result.stream(min_chunk_size=CHUNK):
                data = bytes(piece)
                digest.update(data)
                size += len(data)
                yield data
        _verify(ref, size, digest.hexdigest())

    async def fetch(self, ref: Ref, target: Path) -> None:
        """See `BlobStore`."""
        draft = target.with_name(f".{target.name}.draft")
        try:
            if ref.size <= CHUNK:
                content = await self.get(ref)
                await asyncio.to_thread(draft.write_bytes, content)
                draft.replace(target)
                return
            with await asyncio.to_thread(draft.open, "wb") as file:
                async for piece in self.stream(ref):
                    await asyncio.to_thread(file.write, piece)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)

    async def probe(self, name: str) -> None:
        """See `BlobStore`."""
        key = f"probe/{name}"
        with _translated(key):
            await obstore.put_async(self._store, key, os.urandom(PROBE_BYTES))
        if self._folder is not None:
            await asyncio.to_thread(self._folder.sync, key)


async def _digest(content: bytes) -> str:
    if len(content) <= HASHED_HERE:
        return hashlib.sha256(content).hexdigest()
    return (await asyncio.to_thread(hashlib.sha256, content)).hexdigest()


def _ref_of(pieces: Pieces, media: str) -> tuple[Ref, bytes | None]:
    """Return the reference, and all bytes if they are no more than ``CHUNK``."""
    digest, size = hashlib.sha256(), 0
    held: list[bytes] = []
    for piece in pieces():
        digest.update(piece)
        size += len(piece)
        if size <= CHUNK:
            held.append(piece)
        else:
            held.clear()
    return Ref(digest.hexdigest(), size, media), b"".join(held) if size <= CHUNK else None


async def _checked(ref: Ref, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the pieces. Raises ContractViolation before the last if they do not match ``ref``."""
    digest, size = hashlib.sha256(), 0
    held = b""
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        digest.update(piece)
        size += len(piece)
        if held:
            yield held
        held = piece
    _verify(ref, size, digest.hexdigest())
    yield held


def _key(sha256: str) -> str:
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise ValueError("not a lower-case hex sha256")
    return f"{sha256[:2]}/{sha256}"


def _verify(ref: Ref, size: int, digest: str) -> None:
    if (size, digest) != (ref.size, ref.sha256):
        raise ContractViolation(f"blob {ref.sha256} is damaged: {size} bytes hash to {digest}")


@contextmanager
def _translated(what: Ref | str) -> Iterator[None]:
    """Translate the store's errors."""
    try:
        yield
    except (FileNotFoundError, exceptions.NotFoundError):
        name = what.sha256 if isinstance(what, Ref) else what
        raise NotFound(f"no blob {name}") from None
    except (exceptions.BaseError, OSError) as error:
        raise Unavailable(f"the blob store failed: {type(error).__name__}") from error
