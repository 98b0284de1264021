"""The steps of the walk through the ONTAP door to consistency groups and their snapshots."""

from __future__ import annotations

from gateway.testing.ontap.step import BASE, OF_SVM, Step, change, get, make, remove

_GROUPS = "application/consistency-groups"
_MEMBER = {"provisioning_options": {"action": "add"}}
GROUP_STEPS: tuple[Step, ...] = (
    make("storage/volumes", {**BASE, "name": "member1"}, "member1"),
    make("storage/volumes", {**BASE, "name": "member2"}, "member2"),
    make(_GROUPS, {**OF_SVM, "name": "cg1", "volumes": [{"name": "member1", **_MEMBER}]}, "cg1"),
    make(_GROUPS, {"svm": {"uuid": "{svm1_key}"}, "volumes": [{"uuid": "{member2_key}"}]}, "cg2"),
    make(_GROUPS, {**OF_SVM, "volumes": [_MEMBER]}, refused="53411846"),
    make(_GROUPS, {**OF_SVM, "name": "cg1", "volumes": [{"name": "vol1"}]}, refused="53411852"),
    get("{cg1}"),
    get(_GROUPS, "volumes.name=member1"),
    make("{cg1}/snapshots", {"name": "s1", "comment": "c", "snapmirror_label": "l"}, "cg1_snapshot"),
    get("{cg1_snapshot}"),
    get("{cg1}/snapshots"),
    remove("{cg1_snapshot}"),
    remove("{cg1}/snapshots", "name=none"),
    change("{cg2}", {"volumes": [{"uuid": "{member2_key}", "provisioning_options": {"action": "remove"}}]}),
    change(_GROUPS, {"volumes": [{"name": "member2", **_MEMBER}]}, "name=member2"),
    remove("{cg2}"),
    remove(_GROUPS, "name=none"),
)
