"""Requests that have to be refused, by the codes of their refusals. They come after the steps of `steps`."""

from __future__ import annotations

from typing import Any

from gateway.testing.ontap.step import Step, change, get, make, remove

_NONE = "00000000-0000-4000-8000-000000000000"
_VOLUME: dict[str, Any] = {"name": "no", "svm": {"name": "svm1"}, "aggregates": [{"name": "memory"}]}
_GROW = {"mode": "grow", "maximum": "256MB", "minimum": "32MB"}
_TO_SECOND = {"destination_aggregate": {"name": "second"}}
_CLONE = {"is_flexclone": True, "parent_volume": {"name": "vol1"}}
_RULE: dict[str, Any] = {"clients": [{"match": "192.0.2.1"}], "ro_rule": ["any"], "rw_rule": ["any"]}
_LUN: dict[str, Any] = {"svm": {"name": "svm1"}}
_ENDS = {"source": {"path": "svm1:src1"}, "destination": {"path": "svm1:no"}}


def _volume(code: str, **fields: Any) -> Step:
    return make("storage/volumes", {**_VOLUME, **fields}, refused=code)


def _rule(code: str, match: str) -> Step:
    return make("{ep1}/rules", {**_RULE, "clients": [{"match": match}]}, refused=code)


_READS = (
    get("storage/volumes", "fields=no", refused="262197"),
    get("storage/volumes", "fields=a.{b", refused="262286"),
    get("storage/volumes", "fields=restore_to.snapshot.name", refused="262249"),
    get("storage/volumes", "no=1", refused="262179"),
    get("storage/volumes", "name=a&name=b", refused="262188"),
    get("storage/volumes", "order_by=restore_to.snapshot.name", refused="262268"),
    get("storage/volumes", "query=a", refused="262273"),
    get("storage/volumes", "name=%FF", refused="39387137"),
    get("storage/volumes/no", refused="2"),
    get(f"storage/volumes/{_NONE}", refused="4"),
    get("storage/volumes", f"job_results_uuid={_NONE}", refused="4"),
)
_BODIES = (
    make("storage/volumes", b"{", refused="262199"),
    make("storage/volumes", b'{"name": "a", "name": "b"}', refused="262282"),
    make("storage/volumes", {}, query="name=a", refused="262211"),
    change("storage/volumes", {"comment": "no"}, refused="262194"),
    _volume("262254", aggregates="memory"),
    _volume("262255", name=["no"]),
    _volume("262196", uuid=_NONE),
    _volume("263149", _tags=[f"a{number}:b" for number in range(65)]),
    _volume("262256", _tags=["no"]),
    make("svm/svms", {"name": "svm1"}, refused="13434908"),
    make("svm/svms", {"name": "no", "nfs": {"enabled": True}}, refused="3277096"),
    make("svm/svms", {"name": "9"}, refused="2621519"),
    make("svm/svms", {"name": ""}, refused="2621685"),
    make("svm/svms", {"name": "a" * 48}, refused="2621643"),
    make("svm/svms", {}, refused="262212"),
    remove("{svm1}", refused="8"),
)
_VOLUMES = (
    _volume("917526", name="vol1"),
    _volume("917886", name="a" * 204),
    _volume("917887", name="1"),
    _volume("917888", name="a-b"),
    _volume("2621462", svm={"name": "none"}),
    _volume("2621706", svm={"name": "svm5", "uuid": "{svm1_key}"}),
    _volume("2621707", svm=None),
    _volume("917508", aggregates=[{"name": "none"}]),
    _volume("787140", aggregates=[]),
    _volume("787141", aggregates=[{"name": "second", "uuid": "{memory_key}"}]),
    _volume("918242", aggregates=[{"name": "memory"}, {"name": "second"}]),
    _volume("918232", name=None),
    _volume("918247", clone={"parent_volume": {"name": "vol1"}}),
    _volume("918236", clone={**_CLONE, "parent_volume": {"name": "src1", "uuid": "{vol1_key}"}}, aggregates=None),
    _volume("918243", clone={**_CLONE, "parent_snapshot": {"name": "no", "uuid": "{snap5_key}"}}, aggregates=None),
    _volume("524601", clone={**_CLONE, "parent_volume": {"name": "none"}}, aggregates=None),
    _volume("1638600", clone={**_CLONE, "parent_snapshot": {"name": "none"}}, aggregates=None),
    _volume("917534", size=1),
    _volume("918252", nas={"path": "no"}),
    _volume("918252", nas={"path": "/vol1"}),
    _volume("917551", snapshot_policy={"name": "none_of_this_name"}),
    _volume("1638587", snapshot_policy={"name": "none", "uuid": "{sp1_key}"}),
    _volume("1703954", nas={"export_policy": {"name": "none"}}),
    _volume("918701", tiering={"policy": "all"}),
    _volume("918652", state="error"),
    change("{vol1}", {"tiering": {"policy": "all"}}, refused="918703"),
    change("{clone1}", {"clone": {"split_initiated": True}, "comment": "no"}, refused="918248"),
    change("{vol1}", {"restore_to": {"snapshot": {"name": "snap5"}}, "comment": "no"}, refused="918251"),
    change("{vol1}", {"restore_to": {"snapshot": {"name": "none"}}}, refused="1638600"),
    change("{vol1}", {"restore_to": {"snapshot": {"name": ""}}}, refused="1638515"),
    _volume("917835", space={"snapshot": {"reserve_percent": 91}}),
    _volume("917829", size="64MB", autosize={**_GROW, "grow_threshold": 50, "shrink_threshold": 60}),
    _volume("917831", size="64MB", autosize={**_GROW, "minimum": "512MB"}),
    _volume("918521", size="1GB", autosize=_GROW),
    _volume("918524", size="64MB", autosize={**_GROW, "minimum": "128MB"}),
    change("{vol1}", {"movement": {"state": "paused"}}, refused="918703"),
    change("{vol1}", {"movement": {"state": "cutover", **_TO_SECOND}}, refused="918266"),
    change("{vol1}", {"movement": {"state": "failed"}}, refused="918786"),
    change("{vol1}", {"movement": {"destination_aggregate": {"name": "memory"}}}, refused="918265"),
    change("{vol1}", {"movement": {"destination_aggregate": {"name": "none"}}}, refused="918267"),
    remove("{vol1}", refused="524615"),
    make("{vol1}/snapshots", {"name": "snap5"}, refused="525059"),
    make("{vol1}/snapshots", {"name": "a b"}, refused="1638518"),
    make("{vol1}/snapshots", {"name": "no", "comment": "c" * 256}, refused="1638455"),
    make("{vol1}/snapshots", {"name": "no", "snapmirror_label": "l" * 32}, refused="1638523"),
    remove("{snap5}", refused="1638555"),
)
_POLICIES = (
    make("cluster/schedules", {"name": "no"}, refused="459760"),
    change("{s2}", {"cron": {"minutes": [1]}}, refused="461786"),
    change("{s1}", {"interval": "PT1H"}, refused="461785"),
    remove("{s1}", refused="459758"),
    remove("cluster/schedules", "name=daily", refused="459762"),
    make("{sp1}/schedules", {"count": 1}, refused="1638408"),
    make("{sp1}/schedules", {"schedule": {"name": "weekly"}}, refused="1638407"),
    make("{sp1}/schedules", {"schedule": {"name": "none"}, "count": 1}, refused="1638413"),
    make("{sp1}/schedules", {"schedule": {"name": "hourly"}, "count": 1}, refused="1638410"),
    make("{sp1}/schedules", {"schedule": {"name": "weekly"}, "count": 0}, refused="1638451"),
    make("{sp1}/schedules", {"schedule": {"name": "weekly"}, "count": 1, "prefix": "h"}, refused="1638508"),
    remove("storage/snapshot-policies", "name=default", refused="1638431"),
    make("protocols/nfs/export-policies", {"name": "a b", "svm": {"name": "svm1"}}, refused="1703952"),
    make("protocols/nfs/export-policies", {"name": "a" * 257, "svm": {"name": "svm1"}}, refused="1704047"),
    remove("protocols/nfs/export-policies", "name=default&svm.name=svm1", refused="1703947"),
    remove("{ep1}", refused="1703945"),
    _rule("1704036", "."),
    _rule("1704037", "/8"),
    _rule("1704038", "@"),
    _rule("1704039", "a b"),
    _rule("1704065", "a" * 4097),
    make("{ep1}/rules", {**_RULE, "index": 0}, refused="3277162"),
    change("{ep1}", {"rules": [{**_RULE, "index": 3}, {**_RULE, "index": 3}]}, refused="1704070"),
)
_BLOCKS = (
    make(
        "storage/luns",
        {**_LUN, "os_type": "linux", "name": "/vol/lv1/l1", "space": {"size": "64MB"}},
        refused="5374242",
    ),
    make(
        "storage/luns",
        {**_LUN, "name": "/vol/no/l", "clone": {"source": {"name": "/vol/none/l", "uuid": "{lun1_key}"}}},
        refused="5374874",
    ),
    make(
        "storage/luns",
        {**_LUN, "name": "/vol/no/l", "clone": {"source": {"name": "/vol/lv1/.snapshot/s/l1", "uuid": "{lun1_key}"}}},
        refused="5374899",
    ),
)
_MIRRORS = (
    make("snapmirror/relationships", {**_ENDS, "destination": {"path": "no"}}, refused="13303852"),
    make("snapmirror/relationships", {**_ENDS, "destination": {"path": "svm1:"}}, refused="13303841"),
    make("snapmirror/relationships", _ENDS, refused="917525"),
    change("{mirror1}", {"policy": {"name": "none"}}, refused="13303821"),
    change("{mirror1}", {"policy": {"name": "XDPDefault", "uuid": "{mp1_key}"}}, refused="13304080"),
    make("{mirror1}/transfers", {"files": []}, refused="13303846"),
    make("snapmirror/policies", {"name": "mp1", "svm": {"name": "svm1"}}, refused="6621060"),
)
_REMOTE = {"remote": {"ip_addresses": ["192.0.2.1"]}}
_KNOWN = {"authentication": {"passphrase": "long-enough"}}
_FAR = {"svm": {"name": "svm1"}, "peer": {"svm": {"name": "far"}, "cluster": {"name": "none"}}}
_PEERS = (
    make("cluster/peers", {"name": "p"}, refused="4656069"),
    make("cluster/peers", _REMOTE, refused="4653236"),
    make("cluster/peers", {**_REMOTE, **_KNOWN, "encryption": {"proposed": "none"}}, refused="4653419"),
    make(
        "cluster/peers",
        {**_REMOTE, "authentication": {"passphrase": "long-enough", "generate_passphrase": True}},
        refused="4656077",
    ),
    make("svm/peers", {"svm": {"name": "svm1"}, "peer": {"svm": {"name": "far"}}}, refused="26345580"),
    make("svm/peers", {**_FAR, "applications": ["file_copy"]}, refused="26345579"),
    make("svm/peers", {**_FAR, "applications": ["snapmirror"]}, refused="26345575"),
    change("svm/peers", {"state": "suspended"}, "svm.name=svm1", refused="9896086"),
    remove("svm/peers", "svm.name=svm1", refused="9895956"),
)
REFUSALS: tuple[Step, ...] = (*_READS, *_BODIES, *_VOLUMES, *_POLICIES, *_BLOCKS, *_MIRRORS, *_PEERS)
