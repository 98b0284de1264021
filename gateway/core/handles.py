"""How clients reach the bytes of volumes. The gateway never carries them."""

from __future__ import annotations

import msgspec


class LocalPath(msgspec.Struct, frozen=True, kw_only=True, tag="local_path"):
    """A directory (filesystem), or a raw file or device (block), on the gateway's host."""

    path: str
    read_only: bool = False


class InProcess(msgspec.Struct, frozen=True, kw_only=True, tag="in_process"):
    """Content that lives in the gateway's own memory; only tests can reach it."""

    key: str
    read_only: bool = False


class NfsExport(msgspec.Struct, frozen=True, kw_only=True, tag="nfs"):
    """An NFS export, or a raw file of one. `version` is the protocol's, such as "4.1".

    `path` is what a client mounts. `file`, of blocks, is the file's path below
    it; empty for files, which are all that is there.
    """

    address: str
    port: int
    path: str
    file: str = ""
    version: str = "4.1"
    read_only: bool = False

    @property
    def place(self) -> str:
        """Give the path at the server of what is reached."""
        return f"{self.path.rstrip('/')}/{self.file}" if self.file else self.path


class IscsiTarget(msgspec.Struct, frozen=True, kw_only=True, tag="iscsi"):
    """A logical unit of an iSCSI target. `chap`: the initiator has to log in."""

    address: str
    port: int
    target: str
    lun: int
    chap: bool = False
    read_only: bool = False


class NbdExport(msgspec.Struct, frozen=True, kw_only=True, tag="nbd"):
    """An export of an NBD server."""

    address: str
    port: int
    name: str
    read_only: bool = False


class ObjectStore(msgspec.Struct, frozen=True, kw_only=True, tag="objects"):
    """Objects of a bucket, by the S3 protocol: those whose keys begin with `prefix`.

    `endpoint` is a URL. Who has keys of the store goes there by himself, others
    ask for a signed request per object. `partial`: only some of the content is
    below the prefix (the rest is a source's), so that all of it is found by
    signed requests only.
    """

    endpoint: str
    region: str
    bucket: str
    prefix: str
    partial: bool = False
    read_only: bool = False


class GitRemote(msgspec.Struct, frozen=True, kw_only=True, tag="git"):
    """A remote of git, to be cloned, pulled and pushed.

    `url` is what `git clone` takes. `lfs_url` is where its large files are,
    where git-lfs does not find that by itself. `namespace`, where there is one,
    is what clients have to set GIT_NAMESPACE to: there are others in the same
    repository. A volume's and those of its snapshots differ in their last part,
    which of a snapshot is its id.
    """

    url: str
    lfs_url: str = ""
    namespace: str = ""
    read_only: bool = False


class PerforceStream(msgspec.Struct, frozen=True, kw_only=True, tag="perforce"):
    """A stream at a Perforce server. `port` is what P4PORT takes; `revision` such as "@1234", empty for the newest."""

    port: str
    stream: str
    revision: str = ""
    read_only: bool = False


AccessHandle = LocalPath | InProcess | NfsExport | IscsiTarget | NbdExport | ObjectStore | GitRemote | PerforceStream
