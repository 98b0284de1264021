from __future__ import annotations

import pytest

from gateway.core import errors
from gateway.frontends.ontap_rest.encode import dumps
from gateway.frontends.ontap_rest.error_table import RULES
from gateway.frontends.ontap_rest.errors import (
    WireError,
    bad_key,
    encode_error,
    encode_job_error,
    no_endpoint,
    no_entry,
    no_verb,
    not_settable,
    unexpected,
)

OPERATIONS = (
    "",
    "volume.create",
    "volume.clone",
    "volume.update",
    "volume.split",
    "volume.restore",
    "volume.delete",
    "snapshot.create",
    "snapshot.update",
    "snapshot.delete",
    "export_policy.create",
    "export_rule.update",
    "snapshot_policy.delete",
    "svm.create",
    "aggregate.create",
    "volume.convert",
    "volume.move",
    "lun.create",
    "lun.clone",
    "lun.update",
    "lun.delete",
    "igroup.create",
    "igroup.delete",
    "igroup_initiator.create",
    "lun_map.create",
    "lun_map.delete",
    "iscsi_service.update",
    "iscsi_credentials.create",
)


@pytest.mark.parametrize("name", sorted(errors.tree()))
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_core_error_has_an_answer(name, operation):
    status, body = encode_error(errors.tree()[name](), operation=operation)
    assert 400 <= status < 600
    assert body.keys() == {"error"}
    assert body["error"]["code"].isdigit()
    assert body["error"]["message"]


@pytest.mark.parametrize("name", sorted(errors.tree()))
def test_every_class_ends_with_a_line_without_conditions(name):
    lines = [rule for rule in RULES if rule.error is errors.tree()[name]]
    assert not lines[-1].when
    assert not lines[-1].during
    assert all(rule.when or rule.during for rule in lines[:-1])


CASES = [
    (errors.AlreadyExists(kind="volume", name="v", field="name"), "volume.create", 409, "917526"),
    (errors.AlreadyExists(kind="volume", name="/v", field="junction_path"), "volume.update", 409, "918252"),
    (errors.AlreadyExists(kind="snapshot", name="s"), "snapshot.create", 409, "525059"),
    (errors.AlreadyExists(kind="export policy", name="p"), "export_policy.create", 409, "1"),
    (errors.AlreadyExists(kind="snapshot policy", name="p"), "snapshot_policy.create", 409, "1638527"),
    (errors.AlreadyExists(kind="tenant", name="s"), "svm.create", 409, "13434908"),
    (errors.LimitExceeded(limit="size", value=1, minimum=20, maximum=None), "volume.create", 400, "917534"),
    (errors.LimitExceeded(limit="size", value=99, minimum=20, maximum=50), "volume.create", 400, "262200"),
    (errors.LimitExceeded(limit="snapshots", value=5, minimum=0, maximum=4), "snapshot.create", 409, "525062"),
    (errors.InUse(kind="volume", ref="v", by="clones", action="delete"), "volume.delete", 409, "524615"),
    (errors.InUse(kind="snapshot", ref="s", by="clones", action="delete"), "snapshot.delete", 409, "1638555"),
    (errors.InUse(kind="snapshot", ref="s", by="expiry", action="delete"), "snapshot.delete", 409, "1638555"),
    (errors.InUse(kind="snapshot", ref="s", by="clones", action="restore"), "volume.restore", 409, "1638480"),
    (errors.InUse(kind="snapshot", ref="s", by="expiry", action="restore"), "volume.restore", 409, "9437886"),
    (errors.InUse(kind="export policy", ref="p", by="volumes"), "export_policy.delete", 409, "1703945"),
    (errors.InUse(kind="export policy", ref="default", by="builtin"), "export_policy.delete", 409, "1703947"),
    (errors.InUse(kind="snapshot policy", ref="p", by="volumes"), "snapshot_policy.delete", 409, "1638415"),
    (errors.InUse(kind="schedule", ref="s", by="policies"), "schedule.delete", 409, "459758"),
    (errors.InUse(kind="schedule", ref="daily", by="builtin"), "schedule.delete", 409, "459762"),
    (errors.InvalidArgument(field="cron.hours", value=24, reason="no"), "schedule.create", 400, "459760"),
    (errors.NotFound(kind="schedule", ref="s"), "schedule.update", 404, "4"),
    (errors.NotFound(kind="schedule", ref="s"), "snapshot_policy.create", 404, "1638413"),
    (errors.InvalidArgument(field="copies.prefix", value="x"), "snapshot_policy.create", 400, "1638508"),
    (errors.AlreadyExists(kind="policy line", name="daily"), "snapshot_policy_schedule.create", 409, "1638410"),
    (errors.InUse(kind="policy line", ref="daily", by="policy"), "snapshot_policy_schedule.delete", 409, "1638411"),
    (errors.NotFound(kind="policy line", ref="daily"), "snapshot_policy_schedule.delete", 404, "1638412"),
    (errors.Unsupported(capability="snapshot", backend="a", reason="no"), "volume.create", 400, "918701"),
    (errors.Unsupported(capability="snapshot", backend="a", reason="no"), "volume.update", 400, "918703"),
    (errors.InvalidState(kind="volume", ref="v", state="offline"), "volume.restore", 409, "9437885"),
    (errors.InvalidState(kind="volume", ref="v", state="offline", action="mount"), "volume.update", 409, "917533"),
    (errors.InvalidState(kind="volume", ref="v", state="creating"), "volume.update", 409, "13107406"),
    (errors.Conflict(kind="volume", ref="v"), "volume.update", 409, "13107406"),
    (errors.Conflict(kind="login", ref="anna", holder="iqn"), "lun_map.create", 409, "8"),
    (errors.StaleRevision(kind="volume", ref="v"), "volume.update", 409, "13107406"),
    (errors.NotFound(kind="tenant", ref="s"), "volume.create", 404, "2621462"),
    (errors.NotFound(kind="tenant", ref="s"), "svm.update", 404, "4"),
    (errors.NotFound(kind="pool", ref="a"), "volume.create", 404, "917508"),
    (errors.NotFound(kind="export policy", ref="p"), "volume.create", 404, "1703954"),
    (errors.NotFound(kind="export policy", ref="p"), "export_policy.update", 404, "4"),
    (errors.NotFound(kind="snapshot policy", ref="p"), "volume.create", 404, "917551"),
    (errors.NotFound(kind="snapshot", ref="s"), "volume.restore", 404, "1638600"),
    (errors.NotFound(kind="snapshot", ref="s"), "snapshot.delete", 404, "4"),
    (errors.NotFound(kind="volume", ref="v"), "volume.update", 404, "4"),
    (errors.Unsupported(capability="clone", backend="a", reason="no"), "volume.clone", 400, "918701"),
    (errors.Unsupported(capability="shrink", backend="a", reason="no"), "volume.update", 400, "918703"),
    (errors.Unsupported(capability="snapshot", backend="a", reason="no"), "snapshot.create", 400, "1638644"),
    (errors.Unsupported(capability="create", backend="a", reason="no"), "aggregate.create", 400, "19726544"),
    *(
        (errors.InUse(kind="volume", ref="v", by=by, action="convert"), operation, 409, "5374707")
        for by in ("content", "snapshots", "clones", "clone", "export")
        for operation in ("lun.create", "volume.convert")
    ),
    (errors.InUse(kind="volume", ref="v", by="attachments", action="delete"), "lun.delete", 409, "1254197"),
    (errors.InUse(kind="volume", ref="v", by="attachments", action="delete"), "volume.delete", 409, "1254197"),
    (errors.InUse(kind="volume", ref="v", by="snapshots", action="delete"), "lun.delete", 409, "5374705"),
    (errors.InUse(kind="volume", ref="v", by="clones", action="delete"), "lun.delete", 409, "524615"),
    (errors.InUse(kind="volume", ref="v", by="sessions", action="withdraw"), "volume.restore", 409, "524511"),
    (errors.InUse(kind="volume", ref="v", by="sessions", action="withdraw"), "volume.update", 409, "8"),
    (errors.InUse(kind="host group", ref="g", by="attachments", action="delete"), "igroup.delete", 409, "1254213"),
    (errors.InUse(kind="host group", ref="g", by="attachments"), "igroup_initiator.delete", 409, "1254213"),
    (errors.AlreadyExists(kind="volume", name="v", field="name"), "lun.clone", 409, "5374242"),
    (errors.AlreadyExists(kind="volume", name="0", field="attachment.lun"), "lun_map.create", 409, "1254324"),
    (errors.AlreadyExists(kind="attachment", name="0", field="lun"), "lun_map.create", 409, "1254324"),
    (errors.AlreadyExists(kind="attachment", name="g", field="node"), "lun_map.create", 409, "1254207"),
    (errors.AlreadyExists(kind="host group", name="g", field="name"), "igroup.create", 409, "5374023"),
    (errors.AlreadyExists(kind="initiator login", name="i"), "iscsi_credentials.create", 409, "5374142"),
    (errors.LimitExceeded(limit="size", value=1, minimum=20, maximum=None), "lun.create", 400, "5374124"),
    (errors.LimitExceeded(limit="size", value=99, minimum=20, maximum=50), "lun.update", 400, "5374125"),
    (errors.InvalidState(kind="volume", ref="v", state="offline"), "lun_map.create", 409, "5374866"),
    (errors.InvalidArgument(field="initiators.name", value="x"), "igroup.create", 400, "5374039"),
    (errors.InvalidArgument(field="name", value="x"), "igroup.update", 400, "5373958"),
    (errors.NotFound(kind="host group", ref="g"), "igroup.delete", 404, "5374852"),
    (errors.NotFound(kind="host group", ref="g"), "lun_map.create", 404, "5374878"),
    (errors.NotFound(kind="attachment", ref="g"), "lun_map.delete", 404, "5374922"),
    (errors.NotFound(kind="initiator", ref="i"), "igroup_initiator.delete", 404, "5374034"),
    (errors.NotFound(kind="initiator login", ref="i"), "iscsi_credentials.delete", 404, "5374895"),
    (errors.NotFound(kind="volume", ref="v"), "lun.clone", 404, "5374875"),
    (errors.Unauthenticated(), "", 401, "6691623"),
    (errors.PermissionDenied(action="x"), "", 403, "6"),
    (errors.Busy(what="pool"), "volume.delete", 503, "524486"),
    (errors.Internal(incident="abc"), "volume.delete", 500, "262145"),
]


@pytest.mark.parametrize(("error", "operation", "status", "code"), CASES)
def test_documented_codes(error, operation, status, code):
    found, body = encode_error(error, operation=operation)
    assert (found, body["error"]["code"]) == (status, code)
    number, described = encode_job_error(error, operation=operation)
    assert number == int(code)
    assert described == body["error"]


def test_refusals_tell_the_reason():
    error = errors.Unsupported(capability="clone", backend="aggr1", reason="the substrate has no such operation")
    _, body = encode_error(error, operation="volume.clone")
    assert body["error"]["message"] == (
        "The specified operation on the volume endpoint is not supported on this platform."
        ' Pool "aggr1" lacks "clone": the substrate has no such operation.'
    )


def test_an_invalid_value_is_named_as_this_dialect_names_it():
    _, body = encode_error(errors.InvalidArgument(field="label", value="x", reason="too long"), operation="")
    assert body["error"]["target"] == "snapmirror_label"
    assert body["error"]["code"] == "262245"


def test_a_users_text_can_neither_break_the_message_nor_flood_it():
    error = errors.AlreadyExists(kind="volume", name="{0.__class__}" + "x" * 10_000 + "\ud800", field="name")
    _, body = encode_error(error, operation="volume.create")
    assert "{0.__class__}" in body["error"]["message"]
    assert len(dumps(body)) < 400


def test_texts_that_clients_compare():
    assert encode_error(no_entry())[1]["error"]["message"] == "entry doesn't exist"
    assert encode_error(errors.NotFound(kind="volume"))[1]["error"]["message"] == "entry doesn't exist"
    assert encode_error(unexpected("foo"))[1] == {"error": {"message": 'Unexpected argument "foo".', "code": "262179"}}
    assert encode_error(no_endpoint()) == (404, {"error": {"message": "API not found", "code": "3"}})
    assert encode_error(no_verb())[0] == 405
    assert encode_error(not_settable("type"))[1]["error"] == {
        "message": 'Field "type" cannot be set in this operation',
        "code": "262196",
        "target": "type",
    }


def test_the_bytes_are_those_of_a_captured_answer():
    status, body = encode_error(bad_key("uuid", "1", "UUID"))
    assert status == 404
    assert len(dumps(body)) == 130


def test_arguments_are_shown():
    error = WireError(400, "1", message="m", arguments=(("2", "n"),))
    assert encode_error(error)[1]["error"]["arguments"] == [{"code": "2", "message": "n"}]
