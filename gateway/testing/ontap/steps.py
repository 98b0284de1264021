"""The steps of the walk through the ONTAP door: one of everything is made, changed in every way, and deleted.

Whoever adds a resource, a verb or a field that a body carries out adds steps.
"""

from __future__ import annotations

from gateway.frontends.ontap_rest.schema import Verb
from gateway.testing.ontap.step import BASE, OF_SVM, Step, change, get, make, remove
from gateway.testing.ontap.steps_files import FILE_STEPS
from gateway.testing.ontap.steps_groups import GROUP_STEPS
from gateway.testing.ontap.steps_policies import QOS_STEPS
from gateway.testing.ontap.steps_security import SECURITY_STEPS
from gateway.testing.ontap.steps_system import SYSTEM_STEPS

_HOST = "iqn.1993-08.org.debian:01:host1"


_CLUSTER = (
    get("cluster"),
    change("cluster", {"location": "a cellar", "contact": "somebody"}),
    change("cluster", {"name": "another"}, refused="262144017"),
    get("network/ethernet/ports", "name=lo", "port"),
    get("{port}"),
    get("storage/aggregates", "name=memory", keep="memory"),
    make("storage/aggregates", {"name": "new"}, refused="19726544"),
    change("{memory}", {"name": "new"}, refused="19726544"),
    change("storage/aggregates", {}, "name=memory", refused="19726544"),
    remove("{memory}", refused="19726544"),
    remove("storage/aggregates", "name=memory", refused="19726544"),
    make(
        "cluster/schedules",
        {"name": "s1", "cron": {"minutes": [0, 30], "hours": [1], "days": [1], "months": [2]}},
        "s1",
    ),
    make("cluster/schedules", {"name": "s2", "interval": "PT7M"}, "s2"),
    make("cluster/schedules", {"name": "s3", "cron": {"minutes": [0], "weekdays": [1]}}, "s3"),
    change("{s1}", {"cron": {"minutes": [5], "hours": [2], "days": [3], "months": [4], "weekdays": [5]}}),
    change("{s2}", {"interval": "PT8M"}),
    change("cluster/schedules", {"interval": "PT9M"}, "name=s2"),
    remove("{s3}"),
)
_SVMS = (
    make(
        "svm/svms",
        {"name": "svm3", "comment": "c", "aggregates": [{"name": "memory"}], "iscsi": {"enabled": True}},
        "svm3",
    ),
    make(
        "svm/svms",
        {"name": "svm4", "aggregates": [{"uuid": "{memory_key}"}], "nfs": {"allowed": False, "enabled": False}},
        "svm4",
    ),
    get("storage/snapshot-policies", "name=none", "none"),
    make("svm/svms", {"name": "svm6", "snapshot_policy": {"name": "none"}}, "svm6"),
    make("svm/svms", {"name": "svm7", "snapshot_policy": {"uuid": "{none_key}"}}),
    change("{svm6}", {"snapshot_policy": {"uuid": "{none_key}"}}),
    change("{svm3}", {"name": "svm5", "comment": "d", "state": "stopped", "aggregates": [{"name": "second"}]}),
    change("{svm3}", {"aggregates": [{"uuid": "{memory_key}"}], "snapshot_policy": {"name": "none"}}),
    change("svm/svms", {"state": "running"}, "name=svm5"),
    get("svm/svms", "name=svm1", keep="svm1"),
    get("svm/peers"),
    make("protocols/nfs/services", {**OF_SVM, "enabled": True}, refused="3277096"),
    make("protocols/nfs/services", {"svm": {"uuid": "{svm1_key}"}}, refused="3277096"),
    change("protocols/nfs/services/{svm1_key}", {"enabled": False}, refused="4"),
    remove("protocols/nfs/services/{svm1_key}", refused="4"),
)
_LINE = {"schedule": {"name": "daily"}, "count": 2, "prefix": "p", "snapmirror_label": "l"}
_POLICIES = (
    make(
        "storage/snapshot-policies",
        {**OF_SVM, "name": "sp1", "comment": "c", "enabled": True, "copies": [_LINE]},
        "sp1",
    ),
    make(
        "storage/snapshot-policies",
        {"svm": {"uuid": "{svm1_key}"}, "name": "sp2", "copies": [{"schedule": {"uuid": "{s1_key}"}, "count": 1}]},
        "sp2",
    ),
    change("{sp1}", {"comment": "d", "enabled": False}),
    change("storage/snapshot-policies", {"enabled": True}, "name=sp1"),
    make(
        "{sp1}/schedules", {"schedule": {"name": "hourly"}, "count": 3, "prefix": "h", "snapmirror_label": "m"}, "line1"
    ),
    make("{sp1}/schedules", {"schedule": {"uuid": "{s1_key}"}, "count": 1}, "line2"),
    change("{line1}", {"count": 4, "snapmirror_label": "n"}),
    change("{sp1}/schedules", {"count": 5}, "schedule.name=hourly"),
    remove("{line2}"),
    remove("{sp2}"),
)
_RULE = {
    "clients": [{"match": "10.0.0.0/8"}],
    "ro_rule": ["any"],
    "rw_rule": ["never"],
    "superuser": ["none"],
    "anonymous_user": "65534",
    "protocols": ["nfs4"],
    "allow_suid": False,
    "allow_device_creation": False,
}
_EXPORTS = (
    make("protocols/nfs/export-policies", {**OF_SVM, "name": "ep1", "rules": [{**_RULE, "index": 2}]}, "ep1"),
    make("protocols/nfs/export-policies", {"name": "ep2", "svm": {"uuid": "{svm1_key}"}}, "ep2"),
    change("{ep2}", {"name": "ep3", "rules": [{**_RULE, "index": 1}]}),
    change("protocols/nfs/export-policies", {"rules": []}, "name=ep3"),
    make("{ep1}/rules", {**_RULE, "index": 1, "policy": {"id": "{ep1_key}", "name": "ep1"}}, "rule1"),
    change("{rule1}", {**_RULE, "allow_suid": True, "index": 1}),
    change("{ep1}/rules", {"anonymous_user": "0"}, "index=1"),
    remove("{rule1}"),
    remove("{ep2}"),
)
_AUTOSIZE = {"mode": "grow", "maximum": "256MB", "minimum": "64MB", "grow_threshold": 90, "shrink_threshold": 40}
_SPACE = {"full_threshold_percent": 98, "nearly_full_threshold_percent": 90, "snapshot": {"reserve_percent": 5}}
_VOLUME = {
    **BASE,
    "name": "vol1",
    "comment": "c",
    "_tags": ["a:b"],
    "state": "online",
    "type": "rw",
    "guarantee": {"type": "volume"},
    "snapshot_policy": {"name": "sp1"},
    "nas": {
        "path": "/vol1",
        "export_policy": {"name": "ep1"},
        "unix_permissions": 755,
        "uid": 10,
        "gid": 20,
        "security_style": "unix",
    },
}
_CHANGES = (
    {"name": "vol2b", "comment": "d", "_tags": ["c:d"], "size": "128MB"},
    {"nas": {"path": "/b", "export_policy": {"name": "ep1"}, "uid": 1, "gid": 2, "unix_permissions": 700}},
    {"nas": {"export_policy": {"id": "{ep1_key}"}}, "snapshot_policy": {"uuid": "{sp1_key}"}},
    {"space": {"size": "96MB"}, "snapshot_policy": {"name": "none"}},
    {"nas": {"path": ""}},
    {"autosize": _AUTOSIZE, "space": _SPACE},
    {"movement": {"destination_aggregate": {"name": "second"}}},
    {"movement": {"destination_aggregate": {"uuid": "{memory_key}"}}},
    {"state": "offline"},
    {"state": "online"},
)
_VOLUMES = (
    make("storage/volumes", _VOLUME, "vol1", query="return_records=true"),
    make(
        "storage/volumes",
        {
            "name": "vol2",
            "svm": {"uuid": "{svm1_key}"},
            "aggregates": [{"uuid": "{memory_key}"}],
            "space": {"size": "64MB", **_SPACE},
            "autosize": _AUTOSIZE,
            "snapshot_policy": {"uuid": "{sp1_key}"},
            "nas": {"export_policy": {"id": "{ep1_key}"}},
        },
        "vol2",
    ),
    *(change("{vol2}", each) for each in _CHANGES),
    change("storage/volumes", {"comment": "e"}, "name=vol2b"),
    make("storage/volumes", {"records": [{**BASE, "name": "b1"}, {**BASE, "name": "b2"}]}),
    remove("storage/volumes", "name=b*"),
    get("cluster/jobs", "state=success&max_records=1", keep="job"),
    change("{job}", {}, "action=cancel", refused="458762"),
    change("cluster/jobs", {}, "uuid={job_key}&action=pause", refused="458762"),
)
_OF_SNAPSHOT = {"volume": {"name": "vol1", "uuid": "{vol1_key}"}, "svm": {"name": "svm1", "uuid": "{svm1_key}"}}
_SNAPSHOTS = (
    make("{vol1}/snapshots", {"name": "snap1", "comment": "c", "snapmirror_label": "l", **_OF_SNAPSHOT}, "snap1"),
    make("{vol1}/snapshots", {"name": "snap2", "expiry_time": "2020-01-01T00:00:00Z"}, "snap2"),
    change("{snap2}", {"name": "snap3", "comment": "d", "snapmirror_label": "m", **_OF_SNAPSHOT}),
    change("{snap2}", {"expiry_time": "2020-01-02T00:00:00Z"}),
    change("{vol1}/snapshots", {"comment": "e"}, "name=snap3"),
    change("{vol1}", {"restore_to": {"snapshot": {"name": "snap3", "force": True}}}),
    change("{vol1}", {"restore_to": {"snapshot": {"uuid": "{snap2_key}"}}}),
    remove("{snap2}"),
    make("{vol1}/snapshots", {"name": "snap4"}, "snap4"),
    remove("{vol1}/snapshots", "name=snap4"),
    make(
        "{vol1}/snapshots", {"name": "snap5", "expiry_time": "2099-01-01T00:00:00Z", "snapmirror_label": "l"}, "snap5"
    ),
    make(
        "storage/volumes",
        {
            **OF_SVM,
            "name": "clone1",
            "clone": {
                "is_flexclone": True,
                "parent_volume": {"name": "vol1"},
                "parent_snapshot": {"name": "snap5"},
                "parent_svm": {"name": "svm1"},
            },
        },
        "clone1",
    ),
    make(
        "storage/volumes",
        {
            **OF_SVM,
            "name": "clone2",
            "clone": {
                "is_flexclone": True,
                "parent_volume": {"uuid": "{vol1_key}"},
                "parent_snapshot": {"uuid": "{snap5_key}"},
                "parent_svm": {"uuid": "{svm1_key}"},
            },
        },
        "clone2",
    ),
    change("{clone2}", {"clone": {"split_initiated": True}}),
    remove("{clone2}"),
)
_LUN = {
    **OF_SVM,
    "name": "/vol/lv1/l1",
    "os_type": "linux",
    "comment": "c",
    "space": {"size": "64MB", "guarantee": {"requested": True}, "scsi_thin_provisioning_support_enabled": True},
    "location": {"volume": {"name": "lv1"}, "logical_unit": "l1"},
}
_LUNS = (
    make("storage/volumes", {**BASE, "name": "lv1"}, "lv1"),
    make("storage/luns", _LUN, "lun1"),
    make("storage/volumes", {**BASE, "name": "lv2"}, "lv2"),
    make(
        "storage/luns",
        {
            "svm": {"uuid": "{svm1_key}"},
            "location": {"volume": {"uuid": "{lv2_key}"}, "logical_unit": "l2"},
            "os_type": "linux",
            "space": {"size": "64MB"},
        },
        "lun2",
    ),
    make("storage/luns", {**OF_SVM, "name": "/vol/lv3/l", "clone": {"source": {"name": "/vol/lv1/l1"}}}, "lun3"),
    make("storage/luns", {**OF_SVM, "name": "/vol/lv4/l", "clone": {"source": {"uuid": "{lun1_key}"}}}, "lun4"),
    change(
        "{lun1}",
        {
            "name": "/vol/lv1/l1b",
            "comment": "d",
            "space": {
                "size": "96MB",
                "guarantee": {"requested": False},
                "scsi_thin_provisioning_support_enabled": False,
            },
        },
    ),
    change("{lun1}", {"location": {"volume": {"name": "lv1", "uuid": "{lv1_key}"}, "logical_unit": "l1"}}),
    change("storage/luns", {"enabled": False}, "name=/vol/lv1/l1"),
    change("{lun1}", {"enabled": True}),
    make(
        "protocols/san/igroups",
        {
            **OF_SVM,
            "name": "ig1",
            "os_type": "linux",
            "protocol": "iscsi",
            "comment": "c",
            "initiators": [{"name": _HOST, "comment": "c"}],
        },
        "ig1",
    ),
    make("protocols/san/igroups", {"name": "ig2", "os_type": "linux", "svm": {"uuid": "{svm1_key}"}}, "ig2"),
    change("{ig2}", {"name": "ig3", "comment": "d", "os_type": "windows"}),
    change("protocols/san/igroups", {"comment": "e"}, "name=ig3"),
    make("{ig2}/initiators", {"name": "eui.0123456789abcdef", "comment": "c"}, "eui"),
    change("{eui}", {"comment": "d"}),
    change("{ig2}/initiators", {"comment": "e"}, "name=eui*"),
    make("protocols/san/lun-maps", {**OF_SVM, "lun": {"name": "/vol/lv1/l1"}, "igroup": {"name": "ig1"}}, "map1"),
    make(
        "protocols/san/lun-maps",
        {
            "svm": {"uuid": "{svm1_key}"},
            "lun": {"uuid": "{lun2_key}"},
            "igroup": {"uuid": "{ig1_key}"},
            "logical_unit_number": 7,
        },
        "map2",
    ),
    remove("{map2}"),
    remove("{eui}"),
    remove("{ig2}"),
    get("{ig1}/initiators"),
    remove("{lun2}"),
    remove("storage/luns", "name=/vol/lv4/l"),
)
_CHAP = {
    "inbound": {"user": "user1", "password": "twelve-bytes"},
    "outbound": {"user": "user2", "password": "other-twelve"},
}
_ISCSI = (
    make("protocols/san/iscsi/services", {**OF_SVM, "enabled": True, "target": {"alias": "a"}}, "service"),
    change("{service}", {"enabled": False, "target": {"alias": "b"}}),
    change("protocols/san/iscsi/services", {"enabled": True}, "svm.name=svm1"),
    make(
        "protocols/san/iscsi/credentials",
        {**OF_SVM, "initiator": _HOST, "authentication_type": "chap", "chap": _CHAP},
        "login",
    ),
    make(
        "protocols/san/iscsi/credentials",
        {"svm": {"uuid": "{svm1_key}"}, "initiator": "eui.0123456789abcdef", "authentication_type": "deny"},
        "other_login",
    ),
    make("protocols/san/iscsi/services", {"svm": {"uuid": "{svm4_key}"}}, "other_service"),
    change("{other_service}", {"enabled": False}),
    remove("{other_service}"),
    remove("{svm4}"),
    remove("{other_login}"),
    change("{login}", {"authentication_type": "chap", "chap": _CHAP}),
    change("protocols/san/iscsi/credentials", {"authentication_type": "none"}, "initiator=default"),
)


def _settled(destination: str) -> Step:
    query = f"destination.path=svm1:{destination}&transfer.state=success"
    return Step(Verb.GET, "snapmirror/relationships", query=query, patient=True)


_MIRROR_RULE = {"label": "l", "count": "3", "prefix": "p", "creation_schedule": {"name": "daily"}}
_MIRRORS = (
    make(
        "snapmirror/policies",
        {
            **OF_SVM,
            "name": "mp1",
            "comment": "c",
            "throttle": 100,
            "create_snapshot_on_source": False,
            "retention": [_MIRROR_RULE],
            "transfer_schedule": {"name": "hourly"},
        },
        "mp1",
    ),
    make("snapmirror/policies", {**OF_SVM, "name": "mp3", "copy_all_source_snapshots": True}, "mp3"),
    make("snapmirror/policies", {**OF_SVM, "name": "mp4", "copy_latest_source_snapshot": True}, "mp4"),
    remove("{mp3}"),
    make(
        "snapmirror/policies",
        {
            "name": "mp2",
            "svm": {"uuid": "{svm1_key}"},
            "retention": [{"label": "l", "count": "1", "creation_schedule": {"uuid": "{s1_key}"}, "prefix": "r"}],
            "transfer_schedule": {"uuid": "{s1_key}"},
        },
        "mp2",
    ),
    change("{mp1}", {"comment": "d", "throttle": 0, "retention": [_MIRROR_RULE]}),
    change(
        "{mp1}", {"retention": [{"label": "l", "count": "2", "creation_schedule": {"uuid": "{s1_key}"}, "prefix": "q"}]}
    ),
    change("{mp2}", {"transfer_schedule": {"uuid": "{s1_key}"}}),
    change("{mp2}", {"transfer_schedule": {"name": "daily"}}),
    change("snapmirror/policies", {"comment": "e"}, "name=mp2"),
    make("storage/volumes", {**BASE, "name": "src1", "nas": {"path": "/src1"}}, "src1"),
    make("storage/volumes", {**BASE, "name": "dst1", "type": "dp"}, "dst1"),
    make(
        "snapmirror/relationships",
        {
            "source": {"path": "svm1:src1"},
            "destination": {"path": "svm1:dst1"},
            "policy": {"name": "Asynchronous"},
            "throttle": 50,
            "transfer_schedule": {"name": "daily"},
            "state": "snapmirrored",
        },
        "mirror1",
    ),
    make(
        "snapmirror/relationships",
        {
            "source": {"path": "svm1:src1"},
            "destination": {"path": "svm1:dst2"},
            "policy": {"uuid": "{mp1_key}"},
            "transfer_schedule": {"uuid": "{s1_key}"},
            "create_destination": {"enabled": True, "size": "128MB"},
        },
        "mirror2",
    ),
    _settled("dst1"),
    change("{mirror1}", {"policy": {"name": "mp1"}, "throttle": 60, "transfer_schedule": {"name": "hourly"}}),
    change("{mirror1}", {"policy": {"uuid": "{mp1_key}"}, "transfer_schedule": {"uuid": "{s1_key}"}}),
    make("{src1}/snapshots", {"name": "m1"}),
    make("{mirror1}/transfers", {"throttle": 70, "source_snapshot": "m1"}, "transfer1"),
    get("{transfer1}"),
    make(
        "{mirror1}/transfers",
        {"files": [{"source_path": "/a", "destination_path": "/b"}]},
        refused="13303847",
    ),
    _settled("dst1"),
    change("{transfer1}", {"state": "aborted"}, refused="4"),
    change("snapmirror/relationships", {"throttle": 0}, "destination.path=svm1:dst1"),
    change("{mirror1}", {"state": "broken_off"}),
    change("{mirror1}", {"state": "snapmirrored", "quick_resync": True}),
    _settled("dst1"),
    change("{mirror1}", {"state": "broken_off"}),
    change(
        "{mirror1}",
        {"source": {"path": "svm1:dst1"}, "destination": {"path": "svm1:src1"}, "state": "snapmirrored"},
    ),
    remove("{mirror2}"),
)
STEPS: tuple[Step, ...] = (
    *_CLUSTER,
    *_SVMS,
    *_POLICIES,
    *_EXPORTS,
    *_VOLUMES,
    *_SNAPSHOTS,
    *_LUNS,
    *_ISCSI,
    *FILE_STEPS,
    *QOS_STEPS,
    *GROUP_STEPS,
    *SECURITY_STEPS,
    *SYSTEM_STEPS,
    *_MIRRORS,
)
