"""The steps of the walk through the ONTAP door to qtrees, files and quotas.

A pool in memory has no way in for files, so single files are cloned elsewhere.
"""

from __future__ import annotations

from gateway.testing.ontap.step import BASE, OF_SVM, Step, change, get, make, remove

_TREE = {
    **OF_SVM,
    "name": "qt1",
    "volume": {"name": "trees"},
    "unix_permissions": 755,
    "user": {"id": "10"},
    "group": {"id": "20"},
    "export_policy": {"name": "ep1"},
}
FILE_STEPS: tuple[Step, ...] = (
    make(
        "storage/volumes",
        {**BASE, "name": "trees", "nas": {"path": "/trees", "export_policy": {"name": "ep1"}}},
        "trees",
    ),
    make("storage/qtrees", _TREE, "qt1"),
    make(
        "storage/qtrees",
        {
            "name": "qt2",
            "svm": {"uuid": "{svm1_key}"},
            "volume": {"uuid": "{trees_key}"},
            "user": {"name": "0"},
            "group": {"name": "0"},
            "export_policy": {"id": "{ep1_key}"},
        },
        "qt2",
    ),
    change("{qt1}", {"name": "qt3", "unix_permissions": 700, "user": {"id": "11"}, "group": {"id": "21"}}),
    change("{qt1}", {"user": {"name": "0"}, "group": {"name": "0"}}),
    remove("{qt2}"),
    get("storage/qtrees"),
    get("{trees}/files"),
    get("{trees}/files/qt3", "return_metadata=true"),
    change("{trees}/files/qt3", {"path": "qt3/new"}, refused="262245"),
    change("{trees}/files/qt3", {"path": "moved"}),
    remove("{trees}/files/moved"),
    get("storage/quota/rules"),
    make("storage/quota/rules", {**OF_SVM, "volume": {"name": "trees"}, "type": "tree"}, refused="262144017"),
    get("{trees}/metrics"),
    get("storage/file/clone/split-status"),
)
