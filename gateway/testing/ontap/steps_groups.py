"""The steps of the walk through the ONTAP door to consistency groups."""

from __future__ import annotations

from gateway.testing.ontap.step import BASE, OF_SVM, Step, change, get, make, remove

_GROUPS = "application/consistency-groups"
_ADD, _REMOVE = {"provisioning_options": {"action": "add"}}, {"provisioning_options": {"action": "remove"}}
_TWO = [{"name": "cg1", **_ADD}, {"name": "cg2"}]
GROUP_STEPS: tuple[Step, ...] = (
    *(make("storage/volumes", {**BASE, "name": name}, name) for name in ("cg1", "cg2", "cg3")),
    make(_GROUPS, {**OF_SVM, "volumes": _TWO}, refused="53411846"),
    make(_GROUPS, {**OF_SVM, "name": "g1", "volumes": _TWO}, "g1"),
    make(_GROUPS, {"svm": {"uuid": "{svm1_key}"}, "volumes": [{"uuid": "{cg3_key}"}]}, "g2"),
    remove("{g2}"),
    change("{g1}", {"volumes": [{"uuid": "{cg3_key}", **_ADD}]}),
    change("{g1}", {"volumes": [{"name": "cg3", **_REMOVE}]}),
    make("{g1}/snapshots", {"name": "first", "comment": "c", "snapmirror_label": "l"}, "all1"),
    make("{g1}/snapshots", {"name": "second"}, "all2"),
    get("{all1}"),
    remove("{all2}"),
)
