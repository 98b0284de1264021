"""The steps of the walk through the ONTAP door to qtrees, files and quotas.

A pool in memory has no way in for files, so single files are cloned elsewhere.
"""

from __future__ import annotations

from gateway.testing.ontap.step import BASE, OF_SVM, Step, change, get, make, remove

_QTREE = {"unix_permissions": 750, "user": {"name": "root"}, "group": {"name": "root"}}
_IN_VOL1: tuple[Step, ...] = (
    make(
        "storage/qtrees",
        {**OF_SVM, **_QTREE, "volume": {"name": "vol1"}, "name": "q1", "export_policy": {"name": "ep1"}},
        "q1",
    ),
    make(
        "storage/qtrees",
        {
            "svm": {"uuid": "{svm1_key}"},
            "volume": {"uuid": "{vol1_key}"},
            "name": "q2",
            "user": {"id": "1"},
            "group": {"id": "2"},
            "export_policy": {"id": "{ep1_key}"},
        },
        "q2",
    ),
    change("{q1}", {"name": "q3", **_QTREE, "unix_permissions": 700}),
    change("storage/qtrees", {"user": {"id": "3"}, "group": {"id": "4"}}, "name=q3"),
    get("{vol1}/files", "type=directory"),
    get("{vol1}/files/q3", "return_metadata=true"),
    change("{vol1}/files/q3", {"path": "q4"}),
    remove("{vol1}/files/q4", "recurse=true"),
    remove("{q1}"),
    remove("storage/qtrees", "name=q2"),
    # A pool in memory has no files but those that its own process writes.
    make(
        "storage/file/clone",
        {
            "volume": {"name": "vol1", "uuid": "{vol1_key}"},
            "source_path": "a",
            "destination_path": "b",
            "bypass_throttle": True,
            "is_backup": True,
            "overwrite_destination": True,
        },
        refused="6684674",
    ),
    make(
        "private/cli/volume/file/clone",
        {
            "vserver": "svm1",
            "volume": "vol1",
            "source-path": "a",
            "destination-path": "b",
            "is-backup": True,
            "no-reserve": True,
            "overwrite-destination": True,
        },
        refused="6684674",
    ),
    make(
        "private/cli/volume/file/clone",
        {
            "vserver": "svm1",
            "volume": "vol1",
            "source_path": "a",
            "destination_path": "b",
            "is_backup": False,
            "no_reserve": False,
            "overwrite_destination": False,
            "snapshot_name": "none",
        },
        refused="4",
    ),
    get("storage/file/clone/split-status"),
    get("storage/file/clone/split-status/{vol1_key}", refused="4"),
    make("storage/quota/rules", {**OF_SVM, "volume": {"name": "vol1"}, "type": "tree"}, refused="262144017"),
    get("storage/quota/rules/{vol1_key}", refused="4"),
)
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
    *_IN_VOL1,
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
