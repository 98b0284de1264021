"""Opening a pool: which release, which SVM, what it is licensed for, and the leftovers of a crash. All of it blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import msgspec
import structlog

from gateway.backends.ontap.carriers import Carriers
from gateway.backends.ontap.cluster import Cluster
from gateway.backends.ontap.descriptions import Damaged, More, from_comment, from_tags
from gateway.backends.ontap.failures import FORBIDDEN, Subject, translated
from gateway.backends.ontap.names import Named
from gateway.backends.ontap.options import OntapOptions
from gateway.backends.ontap.pool import Pool
from gateway.backends.ontap.records import ClusterFacts, FlexVol, Interface, License, Svm, Version
from gateway.backends.ontap.volumes import Volumes
from gateway.client import ClientError
from gateway.client.wire import exactly
from gateway.core.backend import FaultHook
from gateway.core.errors import GatewayError, Unavailable

log = structlog.get_logger(__name__)

_POOLS = UUID("0b8d3a52-7a4e-5b0e-9a41-64a1c1f8d2c7")
_OLDEST = (9, 13, 1)
"""The first release whose volumes have tags."""

_NEEDED: Mapping[str, str] = {"flexclone": "clone", "snaprestore": "restore"}
"""Package -> the operation that is not there without it."""

_UNTRIED = "tried with scripted answers and with gateways in the place of clusters, never with ONTAP itself"
_UNLICENSED = "the cluster does not tell its licenses, so clones and restores are taken to be allowed"
_UNREACHED = "the SVM has no interface for NFS, so no client is told a way to its volumes"

_ABSENT = 404
_LEFTOVER = "uuid,name,create_time,nas.path,_tags"


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """What opening gives.

    lacks: operations that the cluster is not licensed for, with the reason.
    remarks: see `gateway.core.backend.Substrate`.
    """

    pool: Pool
    carriers: Carriers
    volumes: Volumes
    lacks: Mapping[str, str]
    remarks: tuple[str, ...]
    address: str


def open_pool(name: str, options: OntapOptions, *, fault: FaultHook, now: Callable[[], datetime]) -> Opened:
    """Open a pool, or raise Unavailable with the reason."""
    with translated(Subject(pool=name)):
        cluster = Cluster(name, options)
        try:
            return _opened(name, options, cluster, fault=fault, now=now)
        except BaseException:
            cluster.close()
            raise


def _opened(
    name: str, options: OntapOptions, cluster: Cluster, *, fault: FaultHook, now: Callable[[], datetime]
) -> Opened:
    facts = cluster.get("/api/cluster", ClusterFacts, fields="name,version")
    _require_release(name, facts.version)
    svm = _svm(name, options, cluster)
    pool = Pool(
        name,
        options,
        cluster=cluster,
        key=uuid5(_POOLS, f"{svm.uuid}/{options.prefix}"),
        allowed=frozenset(aggregate.name for aggregate in svm.aggregates),
        fault=fault,
    )
    pool.aggregates()
    carriers, licensed = Carriers(pool), _licensed(cluster)
    where = options.address or address(pool)
    opened = Opened(
        pool=pool,
        carriers=carriers,
        volumes=Volumes(pool, carriers),
        lacks=_lacks(licensed),
        remarks=(_UNTRIED, *(() if licensed else (_UNLICENSED,)), *(() if where else (_UNREACHED,))),
        address=where,
    )
    _settle(opened, now() - timedelta(seconds=options.leftovers_after_s))
    return opened


def _require_release(name: str, version: Version) -> None:
    if (version.generation, version.major, version.minor) < _OLDEST:
        found = f"{version.generation}.{version.major}.{version.minor}"
        oldest = ".".join(map(str, _OLDEST))
        raise Unavailable(what=name, reason=f"the cluster runs release {found}; {oldest} is the oldest that will do")


def _svm(name: str, options: OntapOptions, cluster: Cluster) -> Svm:
    fields = "uuid,name,state,aggregates.name"
    for svm in cluster.each("/api/svm/svms", Svm, fields=fields, name=exactly(options.svm)):
        if svm.name == options.svm:
            if svm.state != "running":
                raise Unavailable(what=name, reason=f"the SVM {svm.name} is {svm.state}")
            return svm
    raise Unavailable(what=name, reason=f"there is no SVM {options.svm}")


def _licensed(cluster: Cluster) -> frozenset[str]:
    """Give the packages that may be used; none when the cluster does not tell."""
    try:
        found = list(cluster.each("/api/cluster/licensing/licenses", License, fields="name,state"))
    except ClientError as error:
        if error.status in {_ABSENT, FORBIDDEN}:
            return frozenset()
        raise
    return frozenset(package.name for package in found if package.state != "unlicensed")


def _lacks(licensed: frozenset[str]) -> dict[str, str]:
    return {
        operation: f"the cluster has no license for {package}"
        for package, operation in _NEEDED.items()
        if licensed and package not in licensed
    }


def address(pool: Pool) -> str:
    """Give where the SVM serves NFS; empty: nowhere."""
    found = pool.cluster.each(
        "/api/network/ip/interfaces",
        Interface,
        fields="uuid,name,ip.address,enabled,state",
        svm__name=exactly(pool.options.svm),
        services="data_nfs",
    )
    serving = [at for at in found if at.enabled and at.state == "up" and at.ip.address]
    return min(serving, key=lambda at: at.name).ip.address if serving else ""


# --- leftovers ---


def _settle(opened: Opened, before: datetime) -> None:
    """Remove what changes left that did not end. Only names that we give are touched, and nothing young."""
    for found, named in _unfinished(opened.pool, before):
        try:
            if named.staged or not _needed(opened, named):
                opened.volumes.discard(found)
        except (ClientError, Damaged, GatewayError) as error:
            log.warning("leftover stays", pool=opened.pool.name, name=found.name, error=str(error))


def _unfinished(pool: Pool, before: datetime) -> Iterator[tuple[FlexVol, Named]]:
    for found in list(pool.cluster.flexvols(pool.names.unfinished, fields=_LEFTOVER)):
        named = pool.names.read(found.name)
        if named is not None and not named.whole and _made(found) <= before:
            yield found, named


def _made(found: FlexVol) -> datetime:
    try:
        made = datetime.fromisoformat(found.create_time)
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)
    return made if made.tzinfo is not None else made.replace(tzinfo=UTC)


def _needed(opened: Opened, carrier: Named) -> bool:
    """Tell whether a volume or snapshot names the generation of a carrier."""
    pool = opened.pool
    owner = pool.family(carrier.id).volume
    told = None if owner is None else from_tags(owner.tags)
    if told is not None and told[1] is not None and told[1].generation == carrier.generation:
        return True
    for copy in pool.cluster.copies_everywhere(name=pool.names.snapshot(carrier.id)):
        where = from_comment(copy.comment)
        if isinstance(where, More) and where.generation == carrier.generation:
            return True
    return False
