"""The steps of the walk through the ONTAP door to what drivers look through before they work."""

from __future__ import annotations

from gateway.testing.ontap.step import Step, change, get, make

_LOG = {
    "computer_name": "host",
    "event_source": "driver",
    "app_version": "1",
    "category": "provisioning",
    "event_id": "0",
    "event_description": "d",
    "severity": "notice",
    "autosupport_required": False,
}
SYSTEM_STEPS: tuple[Step, ...] = (
    get("cluster/counter/tables", "name=wafl", keep="table"),
    get("{table}/rows"),
    get("protocols/fpolicy/{svm1_key}/policies"),
    make("support/ems/application-logs", _LOG),
    change("private/cli/volume", {"autosize_reset": True}, "vserver=svm1&volume=vol1"),
)
