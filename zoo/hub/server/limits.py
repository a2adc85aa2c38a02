"""How much one hub takes: of a request, of a file, of a repository, of the disk."""

from __future__ import annotations

from dataclasses import dataclass

MB, GB = 10**6, 10**9


@dataclass(frozen=True)
class Limits:
    """Bytes unless said otherwise."""

    json: int = 8 * MB  # a body that is read into memory
    card: int = 3 * MB  # ... of a README that anybody may ask about
    buffered: int = 256 * MB  # all bodies in memory
    message: int = 65_536  # characters of a commit's or tag's message
    regular: int = 2 * MB  # a file that travels inside a commit; preupload sends larger ones by LFS
    commit: int = 512 * MB  # a commit's body, which is read line by line
    changes: int = 25_000  # files in one commit
    files: int = 100_000  # in a repository
    large: int = 500 * GB  # one large file
    repository: int = 5_000 * GB  # all large files of one repository
    spare: int = GB  # of the disk, never filled
    part: int = 256 * MB  # of a multipart upload
    parts: int = 10_000
    multipart: int = 5 * GB  # larger files come in parts
    shard: int = 64 * MB  # a Xet shard's body
    xorb: int = 80 * MB  # a Xet xorb's body, and what it unpacks to
    batch: int = 1_000  # objects in one LFS request
    page: int = 1_000  # entries of one answer
    seconds: float = 30.0  # a client may be silent in the middle of a body
    slowest: int = 1_000  # bytes a second of a body, on average after those first seconds
    connections: int = 1_000  # at once
    handlers: int = 32  # requests worked on at once; the rest waits
    link: int = 6 * 3600  # seconds for which an upload's address works
