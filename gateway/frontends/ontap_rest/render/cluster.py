"""The cluster, its node, network interfaces and jobs."""

from __future__ import annotations

import os
from typing import Any
from uuid import UUID

import msgspec

from gateway.core.jobs import FINAL
from gateway.core.model import Job, JobState, Tenant, utc_now
from gateway.frontends.ontap_rest.constants import nested
from gateway.frontends.ontap_rest.errors import encode_job_error, from_record
from gateway.frontends.ontap_rest.release import DEFAULT_RELEASE, Release
from gateway.frontends.ontap_rest.render.batches import batch_error, progress
from gateway.frontends.ontap_rest.scalars import format_datetime


class NodeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The process's host as ONTAP's one node. `uptime` in seconds."""

    id: UUID
    name: str
    software: str
    uptime: int = 0
    release: Release = DEFAULT_RELEASE


class ClusterFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway as a cluster. `software` is its own name and version."""

    id: UUID
    name: str
    software: str
    location: str = ""
    contact: str = ""
    release: Release = DEFAULT_RELEASE


class InterfaceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """An address at which data is served."""

    id: UUID
    name: str
    address: str
    netmask: str
    tenant: Tenant
    node: NodeFacts
    port: str
    port_id: UUID | None = None
    services: tuple[str, ...] = ("data_core", "data_nfs")
    policy: str = "default-data-files"


def render_cluster(facts: ClusterFacts) -> dict[str, Any]:
    """Render the cluster singleton."""
    record: dict[str, Any] = nested("cluster")
    record |= {"uuid": str(facts.id), "name": facts.name, "location": facts.location, "contact": facts.contact}
    record["version"] = _version(facts)
    return record


def render_node(facts: NodeFacts) -> dict[str, Any]:
    """Render the node."""
    record: dict[str, Any] = nested("node")
    record |= {"uuid": str(facts.id), "name": facts.name, "uptime": facts.uptime, "date": format_datetime(utc_now())}
    record["controller"] = {
        "cpu": {"count": os.cpu_count() or 1},
        "memory_size": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
    }
    record["version"] = _version(facts)
    return record


def render_interface(facts: InterfaceFacts) -> dict[str, Any]:
    """Render a data interface."""
    record: dict[str, Any] = nested("ip_interface")
    node = {"uuid": str(facts.node.id), "name": facts.node.name}
    port: dict[str, Any] = {"name": facts.port, "node": {"name": facts.node.name}}
    if facts.port_id is not None:
        port["uuid"] = str(facts.port_id)
    record |= {
        "uuid": str(facts.id),
        "name": facts.name,
        "ip": {
            "address": facts.address,
            "netmask": facts.netmask,
            "family": "ipv6" if ":" in facts.address else "ipv4",
        },
        "svm": {"uuid": str(facts.tenant.id), "name": facts.tenant.name},
        "services": list(facts.services),
        "service_policy": {"name": facts.policy},
    }
    record["location"] |= {"home_node": dict(node), "node": dict(node), "home_port": dict(port), "port": dict(port)}
    return record


def render_job(job: Job, *, tenant: Tenant | None = None, node: NodeFacts | None = None) -> dict[str, Any]:
    """Render a job. `message` is always there; `error` only after a failure."""
    record: dict[str, Any] = {
        "uuid": str(job.id),
        "description": job.description,
        "state": job.state.value,
        "message": job.state.value,
        "code": 0,
        "start_time": format_datetime(job.created),
    }
    if job.ended is not None:
        record["end_time"] = format_datetime(job.ended)
    if job.parts and job.state not in FINAL:
        record["message"] = progress(job)
    error = batch_error(job) if job.parts else None
    if error is not None:
        record["code"], record["error"] = int(str(error["code"])), error
    elif job.state is JobState.FAILURE and job.error is not None:
        record["code"], record["error"] = encode_job_error(from_record(job.error), operation=job.operation)
    if "error" in record:
        record["message"] = record["error"]["message"]
    if tenant is not None:
        record["svm"] = {"uuid": str(tenant.id), "name": tenant.name}
    if node is not None:
        record["node"] = {"name": node.name}
    return record


def _version(facts: ClusterFacts | NodeFacts) -> dict[str, Any]:
    release = facts.release
    return {
        "full": f"NetApp Release {release}: {facts.software}",
        "generation": release.generation,
        "major": release.major,
        "minor": release.minor,
    }
