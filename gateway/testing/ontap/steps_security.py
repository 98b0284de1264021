"""The steps of the walk through the ONTAP door to accounts, roles and what was done."""

from __future__ import annotations

from gateway.testing.ontap.step import Step, change, get, make, remove

_APPLICATION = {
    "application": "http",
    "authentication_methods": ["password"],
    "second_authentication_method": "none",
    "is_ldap_fastbind": False,
    "is_ns_switch_group": False,
}
_OF_SVM = {"owner": {"name": "svm1"}}
_OF_SVM_BY_ID = {"owner": {"uuid": "{svm1_key}"}}
_RULE = "%2Fapi%2Fstorage%2Fvolumes"
SECURITY_STEPS: tuple[Step, ...] = (
    make(
        "security/roles",
        {"name": "r1", **_OF_SVM, "privileges": [{"path": "/api/storage/volumes", "access": "readonly", "query": ""}]},
        "r1",
    ),
    make(
        "security/roles", {"name": "r2", **_OF_SVM_BY_ID, "privileges": [{"path": "/api/svm", "access": "all"}]}, "r2"
    ),
    make("{r1}/privileges", {"path": "/api/svm/svms", "access": "all", "query": ""}, "rule"),
    change("{r1}/privileges/" + _RULE, {"access": "all", "query": ""}),
    remove("{rule}"),
    remove("{r2}"),
    make(
        "security/accounts",
        {
            "name": "alice",
            **_OF_SVM,
            "role": {"name": "r1"},
            "applications": [_APPLICATION],
            "password": "horse-battery-1",
            "comment": "c",
            "locked": False,
        },
        "alice",
    ),
    make("security/accounts", {"name": "bob", **_OF_SVM_BY_ID, "password": "horse-battery-2"}, "bob"),
    change(
        "{alice}",
        {
            "comment": "d",
            "locked": True,
            "password": "horse-battery-3",
            "role": {"name": "vsadmin"},
            "applications": [_APPLICATION],
        },
    ),
    make("security/authentication/password", {"name": "bob", **_OF_SVM, "password": "horse-battery-4"}),
    make("security/authentication/password", {"name": "bob", **_OF_SVM_BY_ID, "password": "horse-battery-5"}),
    remove("{bob}"),
    get("security/audit/messages"),
    get("support/ems/events"),
)
