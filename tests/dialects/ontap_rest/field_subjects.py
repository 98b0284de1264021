"""How to make one of every resource that a body can make or change, for tests that go through all of its fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

MIB = 1 << 20
SVM = {"svm.name": "svm1"}
LATER = "2099-01-01T00:00:00Z"
NOWHERE = ""
"""As the place where a field is shown: it is not."""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """One collection of which records can be made.

    `body`: what a POST needs, by dotted keys; `{n}` in its texts is a number
    that no other one has. `before`: what has to be made first, `after`: what
    has to go when it is deleted. `values`: what to try for a field instead of
    what its type suggests. `without`: the keys of the body that make room for
    a field. `beside`: what has to come with it. `ending`: the PATCH that lets
    it be deleted, `ending_query` what its DELETE needs. `shown`: another path at which a field that was taken is
    read, `NOWHERE` when no record ever shows it.
    """

    body: Mapping[str, Any]
    before: Sequence[tuple[str, Mapping[str, Any]]] = ()
    after: Sequence[str] = ()
    values: Mapping[str, Sequence[object]] = {}
    without: Mapping[str, Sequence[str]] = {}
    beside: Mapping[str, Mapping[str, Any]] = {}
    ending: Mapping[str, Any] = {}
    ending_query: str = ""
    shown: Mapping[str, str] = {}


_WITHOUT_SVM = {"svm.name": ("svm.name",), "svm.uuid": ("svm.name",)}
_VOLUME = {**SVM, "name": "walked{n}", "aggregates": [{"name": "memory"}], "size": 64 * MIB}
_DP = {**_VOLUME, "name": "mirror{n}", "type": "dp"}
_NEW_VOLUME = ("storage/volumes", _VOLUME)
_NO_VOLUME = "storage/volumes?name=walked{n}"
_IGROUP = {**SVM, "name": "hosts{n}", "os_type": "linux"}
_RULE = {"clients": [{"match": "10.{n}.0.0/16"}], "ro_rule": ["any"], "rw_rule": ["any"]}
_ADAPTIVE = {"adaptive.expected_iops": 100, "adaptive.peak_iops": 500}
_PASSWORD = "a_password_of_20"

SUBJECTS: Mapping[str, Subject] = {
    "storage/volumes": Subject(
        body=_VOLUME,
        values={
            "aggregates.name": ["memory", "nowhere"],
            "clone.is_flexclone": [True],
            "clone.split_initiated": [True],
            "name": ["renamed{n}"],
            "nas.export_policy.name": ["p1"],
            "nas.path": ["/walked{n}"],
            "nas.unix_permissions": [750],
            "size": [128 * MIB],
            "snapshot_policy.name": ["sp1", "none"],
            "space.size": [128 * MIB],
            "svm.name": ["svm2"],
            "_tags": ["walked:yes"],
        },
        without={
            **_WITHOUT_SVM,
            "aggregates.name": ("aggregates",),
            "aggregates.uuid": ("aggregates",),
            "clone.is_flexclone": ("aggregates", "size"),
            "space.size": ("size",),
        },
        beside={"clone.is_flexclone": {"clone.parent_volume.name": "vol1"}},
    ),
    "storage/volumes/{}/snapshots": Subject(
        body={"name": "walked{n}"},
        values={"name": ["renamed{n}"], "volume.name": ["vol1", "vol2"], "svm.name": ["svm1", "svm2"]},
        ending={"expiry_time": None},
    ),
    "svm/svms": Subject(
        body={"name": "walked{n}"},
        values={"name": ["renamed{n}"], "aggregates.name": ["memory", "nowhere"], "snapshot_policy.name": ["none"]},
    ),
    "protocols/nfs/export-policies": Subject(
        body={**SVM, "name": "walked{n}"},
        values={
            "name": ["renamed{n}"],
            "rules.clients.match": ["10.0.0.0/8"],
            "rules.index": [7],
            "rules.anonymous_user": ["nobody"],
            "svm.name": ["svm2"],
        },
        without=_WITHOUT_SVM,
        beside={"rules": {"clients": [{"match": "10.1.0.0/16"}], "ro_rule": ["any"], "rw_rule": ["any"]}},
    ),
    "protocols/nfs/export-policies/{}/rules": Subject(
        body=_RULE,
        values={"clients.match": ["10.0.0.0/8"], "index": [7], "anonymous_user": ["nobody"]},
        without={"clients.match": ("clients",), "ro_rule": ("ro_rule",), "rw_rule": ("rw_rule",)},
    ),
    "storage/snapshot-policies": Subject(
        body={**SVM, "name": "walked{n}", "copies": [{"schedule": {"name": "daily"}, "count": 2}]},
        values={"name": ["renamed{n}"], "copies.schedule.name": ["weekly"], "svm.name": ["svm2"]},
        without={**_WITHOUT_SVM, "copies": ("copies",)},
        beside={"copies": {"schedule": {"name": "weekly"}, "count": 3}},
    ),
    "storage/snapshot-policies/{}/schedules": Subject(
        body={"schedule.name": "weekly", "count": 2},
        values={"schedule.name": ["hourly"]},
        without={"schedule.uuid": ("schedule.name",)},
    ),
    "cluster/schedules": Subject(
        body={"name": "walked{n}", "cron.minutes": [7]},
        values={"interval": ["PT15M"], "name": ["renamed{n}"]},
        without={"interval": ("cron.minutes",)},
    ),
    "storage/luns": Subject(
        before=[_NEW_VOLUME],
        body={**SVM, "name": "/vol/walked{n}/lun", "os_type": "linux", "space.size": 64 * MIB},
        after=[_NO_VOLUME],
        values={
            "name": ["/vol/walked{n}/other"],
            "location.logical_unit": ["lun", "other"],
            "location.volume.name": ["walked{n}"],
            "space.size": [128 * MIB],
            "svm.name": ["svm1"],
        },
        without={
            "svm.uuid": ("svm.name",),
            "location.logical_unit": ("name",),
            "clone.source.name": ("os_type", "space.size", "name"),
            "clone.source.uuid": ("os_type", "space.size", "name"),
        },
        beside={
            "location.logical_unit": {"location.volume.name": "walked{n}"},
            "clone.source.name": {"name": "/vol/copied{n}/lun"},
            "clone.source.uuid": {"name": "/vol/copied{n}/lun"},
        },
    ),
    "storage/qtrees": Subject(
        before=[_NEW_VOLUME],
        body={**SVM, "name": "walked{n}", "volume.name": "walked{n}"},
        after=[_NO_VOLUME],
        values={
            "export_policy.name": ["default", "p1"],
            "group.id": ["7"],
            "group.name": ["root", "staff"],
            "name": ["renamed{n}"],
            "svm.name": ["svm1"],
            "unix_permissions": [750],
            "user.id": ["7"],
            "user.name": ["root", "nobody"],
            "volume.name": ["vol1"],
        },
        without={**_WITHOUT_SVM, "volume.name": ("volume.name",), "volume.uuid": ("volume.name",)},
        shown={"group.name": NOWHERE, "user.name": NOWHERE},
    ),
    "protocols/san/igroups": Subject(
        body=_IGROUP,
        values={
            "name": ["renamed{n}"],
            "svm.name": ["svm2"],
            "initiators.name": ["iqn.1993-08.org.debian:01:walked"],
        },
        without=_WITHOUT_SVM,
        beside={"initiators": {"name": "iqn.1993-08.org.debian:01:walked"}},
    ),
    "protocols/san/igroups/{}/initiators": Subject(
        body={"name": "iqn.1993-08.org.debian:01:walked{n}"},
        ending_query="allow_delete_while_mapped=true",
        values={"name": ["iqn.1993-08.org.debian:01:other{n}"]},
    ),
    "protocols/san/lun-maps": Subject(
        before=[
            _NEW_VOLUME,
            ("storage/luns", {**SVM, "name": "/vol/walked{n}/lun", "os_type": "linux", "space.size": 64 * MIB}),
            ("protocols/san/igroups", _IGROUP),
        ],
        body={**SVM, "lun.name": "/vol/walked{n}/lun", "igroup.name": "hosts{n}"},
        after=[_NO_VOLUME, "protocols/san/igroups?name=hosts{n}"],
        values={"logical_unit_number": [9], "svm.name": ["svm1"]},
        without={"svm.uuid": ("svm.name",), "lun.uuid": ("lun.name",), "igroup.uuid": ("igroup.name",)},
    ),
    "protocols/san/iscsi/services": Subject(
        before=[("svm/svms", {"name": "walked{n}"})],
        body={"svm.name": "walked{n}"},
        after=["svm/svms?name=walked{n}"],
        values={"svm.name": ["svm1"], "target.alias": ["renamed{n}"]},
        without={"svm.uuid": ("svm.name",)},
        ending={"enabled": False},
    ),
    "protocols/san/iscsi/credentials": Subject(
        body={
            **SVM,
            "initiator": "iqn.1993-08.org.debian:01:walked{n}",
            "authentication_type": "chap",
            "chap.inbound.user": "walked",
            "chap.inbound.password": _PASSWORD,
        },
        values={
            "authentication_type": ["deny", "none"],
            "chap.inbound.password": ["another_of_20_letters"],
            "chap.outbound.password": ["another_of_20_letters"],
            "initiator": ["iqn.1993-08.org.debian:01:other{n}", "default"],
            "svm.name": ["svm2"],
        },
        without={
            **_WITHOUT_SVM,
            "authentication_type": ("chap.inbound.user", "chap.inbound.password"),
        },
        beside={
            "chap.outbound.user": {"chap.outbound.password": "outbound_password"},
            "chap.outbound.password": {"chap.outbound.user": "outbound"},
        },
        shown={"chap.inbound.password": NOWHERE, "chap.outbound.password": NOWHERE},
    ),
    "snapmirror/policies": Subject(
        body={**SVM, "name": "walked{n}"},
        values={
            "name": ["renamed{n}"],
            "retention.count": ["5"],
            "retention.creation_schedule.name": ["daily"],
            "retention.label": ["kept"],
            "svm.name": ["svm2"],
            "transfer_schedule.name": ["daily"],
        },
        without=_WITHOUT_SVM,
        beside={"retention": {"label": "kept", "count": "5"}},
    ),
    "snapmirror/relationships": Subject(
        before=[("storage/volumes", _DP)],
        body={"source.path": "svm1:vol2", "destination.path": "svm1:mirror{n}"},
        after=["storage/volumes?name=mirror{n}"],
        values={
            "destination.path": ["svm1:nowhere"],
            "policy.name": ["MirrorLatest"],
            "source.path": ["svm1:vol1"],
            "state": ["uninitialized"],
            "transfer_schedule.name": ["daily"],
        },
        shown={"create_destination.enabled": NOWHERE},
    ),
    "security/accounts": Subject(
        body={"name": "walked{n}", "password": _PASSWORD, "role.name": "readonly"},
        values={
            "applications.authentication_methods": ["password", "certificate", "publickey"],
            "name": ["renamed{n}"],
            "owner.name": ["svm1", "nowhere"],
            "password": ["another_password_21"],
            "role.name": ["admin", "nobody"],
        },
        without={"owner.name": ("role.name",), "owner.uuid": ("role.name",)},
        beside={"applications": {"application": "http"}},
        shown={"password": NOWHERE},
    ),
    "security/roles": Subject(
        body={"name": "walked{n}", "privileges": [{"path": "/api/cluster", "access": "all"}]},
        values={"name": ["renamed{n}"], "owner.name": ["svm1", "nowhere"], "privileges.path": ["/api/storage", "no"]},
        without={"privileges": ("privileges",)},
        beside={"privileges": {"path": "/api/cluster", "access": "readonly"}},
    ),
    "storage/qos/policies": Subject(
        body={**SVM, "name": "walked{n}", "fixed.max_throughput_iops": 500},
        values={
            "name": ["renamed{n}"],
            "adaptive.expected_iops": [100],
            "adaptive.peak_iops": [300],
            "svm.name": ["svm2"],
        },
        without={
            **_WITHOUT_SVM,
            "adaptive.absolute_min_iops": ("fixed.max_throughput_iops",),
            "adaptive.block_size": ("fixed.max_throughput_iops",),
            "adaptive.expected_iops": ("fixed.max_throughput_iops",),
            "adaptive.expected_iops_allocation": ("fixed.max_throughput_iops",),
            "adaptive.peak_iops": ("fixed.max_throughput_iops",),
            "adaptive.peak_iops_allocation": ("fixed.max_throughput_iops",),
        },
        beside={
            "adaptive.absolute_min_iops": _ADAPTIVE,
            "adaptive.block_size": _ADAPTIVE,
            "adaptive.expected_iops": {"adaptive.peak_iops": 500},
            "adaptive.expected_iops_allocation": _ADAPTIVE,
            "adaptive.peak_iops": {"adaptive.expected_iops": 100},
            "adaptive.peak_iops_allocation": _ADAPTIVE,
        },
    ),
    "application/consistency-groups": Subject(
        before=[_NEW_VOLUME],
        body={**SVM, "name": "walked{n}", "volumes": [{"name": "walked{n}"}]},
        after=[_NO_VOLUME],
        values={"svm.name": ["svm1"], "volumes.name": ["walked{n}", "nowhere"]},
        without={"svm.uuid": ("svm.name",), "volumes.name": ("volumes",), "volumes.uuid": ("volumes",)},
        beside={"volumes": {"name": "walked{n}"}},
        shown={"volumes.provisioning_options.action": NOWHERE},
    ),
    "application/consistency-groups/{}/snapshots": Subject(body={"name": "walked{n}"}),
    "snapmirror/relationships/{}/transfers": Subject(
        body={},
        # A transfer may be over before it is aborted.
        values={"source_snapshot": ["nowhere"], "state": ["queued", "failed", "success", "transferring"]},
        shown={"source_snapshot": NOWHERE},
    ),
}
"""Collection -> how one is made."""

UNMADE: Mapping[str, str] = {
    "protocols/nfs/services": "where files are exported every SVM has one from the beginning, elsewhere none",
    "security/authentication/password": "it makes nothing that could be read",
    "security/roles/{}/{}/privileges": "its fields are those of a role's privileges",
    "cluster/jobs": "a change runs to its end; PATCH takes no fields",
    "cluster/peers": "it takes another gateway: tests/unit/test_peers.py",
    "private/cli/volume": "an answer for drivers that ask for nothing else",
    "storage/aggregates": "pools are configuration, every write is refused",
    "private/cli/volume/file/clone": "memory has no files but those of its own process; see test_live_files.py",
    "storage/file/clone": "memory has no files but those of its own process; see test_live_files.py",
    "storage/quota/rules": "nothing limits less than a volume, every write is refused",
    "storage/volumes/{}/files": "files are made by clients; see test_live_files.py",
    "support/ems/application-logs": "it writes a line into the log, and shows nothing",
    "svm/peers": "it takes another gateway: tests/unit/test_peers.py",
}
"""Collections that have writers, and of which nothing can be made."""
