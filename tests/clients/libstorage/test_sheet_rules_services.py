"""Rules of the original tests about what a server tells of itself, and about the headers that say who asks."""

from __future__ import annotations

from pathlib import Path

import pytest
from libstorage_client import (
    ANY,
    ATTACHED,
    ONLY_MINE,
    ONLY_MINE_WITH_DEVICES,
    Client,
    RefusedError,
    client_of,
    metadata,
    not_found,
    refused,
)
from libstorage_scene import DOOR, Bed

from gateway.testing.live import live_gateway

NOTHING_HERE = b"404 page not found\n"
ID = "8f1cd2c2-1a3e-4e1b-9c2d-0a1b2c3d4e5f"
TRANSACTION = f"txID={ID}, txCR=1491238950"


def test_the_root_has_five_entries(bed: Bed) -> None:
    base = str(bed.http.base_url)
    names = ("services", "snapshots", "tasks", "help", "volumes")
    assert bed.nobody.root() == [f"{base}/{name}" for name in names]
    assert bed.nobody.help() == [f"{base}/help/{name}" for name in ("config", "env", "version")]
    elsewhere = bed.nobody.with_headers(Host="storage.example:7979")
    assert elsewhere.root() == [f"http://storage.example:7979/{name}" for name in names]


def test_every_answer_says_which_server_gave_it(bed: Bed) -> None:
    bed.nobody.root()
    name = bed.nobody.server_name
    assert name
    for path, status in (("/services", 200), ("/services/none", 404), ("/tasks/4711", 404), ("/help/config", 401)):
        answer = bed.nobody.raw("GET", path)
        assert (answer.status_code, answer.headers["Libstorage-Servername"]) == (status, name)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("HEAD", "/"),
        ("OPTIONS", "/services"),
        ("GET", "/services/"),
        ("GET", "/nothing"),
        ("PUT", "/volumes/svc"),
        ("DELETE", "/volumes/svc"),
        ("PATCH", "/volumes/svc/id"),
        ("POST", "/volumes"),
        ("POST", "/volumes/svc/id"),
        ("POST", "/volumes/svc/id?expand"),
        ("POST", "/snapshots/svc"),
        ("POST", "/snapshots/svc/id"),
        ("POST", "/services"),
        ("POST", "/executors"),
        ("GET", "/volumes/svc/id/more"),
    ],
)
def test_what_is_routed_nowhere_is_a_text(bed: Bed, method: str, path: str) -> None:
    answer = bed.nobody.raw(method, path)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Libstorage-Servername" not in answer.headers
    assert answer.content == (b"" if method == "HEAD" else NOTHING_HERE)


def test_a_double_slash_leads_to_the_clean_path(bed: Bed) -> None:
    answer = bed.nobody.raw("GET", "/services//svc?instance")
    assert (answer.status_code, answer.headers["Location"]) == (301, "/services/svc?instance")


def test_services_are_told_with_the_driver_that_clients_need(bed: Bed) -> None:
    listed = bed.nobody.services()
    assert list(listed) == sorted(listed)
    shown = listed[bed.service]
    assert bed.nobody.service(bed.service) == shown == bed.nobody.service(bed.service.upper())
    assert (shown.name, shown.driver.name, shown.driver.type, shown.instance) == ("svc", bed.driver, bed.kind, None)
    if bed.driver == "vfs":
        assert shown.driver.next_device is not None
        assert (shown.driver.next_device.ignore, shown.driver.next_device.prefix) == (True, "")
    else:
        assert shown.driver.next_device is None


def test_the_instance_is_who_the_header_says(bed: Bed) -> None:
    shown = bed.client.service(bed.service, "?instance").instance
    assert shown is not None
    told = shown.instance_id
    assert (told.id, told.driver, told.fields) == (bed.nodes[0], bed.driver, {})
    assert told.service in ("", bed.service)
    assert (shown.name, shown.provider_name) == ("vfsInstance" if bed.driver == "vfs" else "", "")
    assert bed.client.services("?instance=true")[bed.service].instance == shown
    for off in ("?instance=false", "?instance=0"):
        assert bed.client.service(bed.service, off).instance is None


def test_an_instance_that_tells_only_what_it_knows_of_itself_is_given_an_id(bed: Bed) -> None:
    if bed.driver == "isilon":
        known = {
            "127.0.0.1": ["192.0.2.2/24", "127.0.0.1/8", "::1/128"],
            "192.0.2.2": ["fe80::1/64", "2001:db8::2/64", "192.0.2.2/24"],
            "2001:db8::2": ["::1/128", "2001:db8::2/64"],
        }
    else:
        known = {"vm": "vm", "node-1.example": "node-1.example"}
    for expected, told in known.items():
        client = bed.nobody.as_instance(f"{bed.driver}=,,{metadata(told)}")
        shown = client.service(bed.service, "?instance").instance
        assert shown is not None
        assert shown.instance_id.id == expected
        assert "metadata" not in client.raw("GET", f"/services/{bed.service}?instance").text


def test_every_form_of_the_header_names_the_same_node(bed: Bed) -> None:
    node, driver = bed.nodes[0], bed.driver
    made = bed.client.create(bed.service, "data")
    bed.client.attach(bed.service, made.id)
    forms: list[tuple[str, ...]] = [
        (f"{driver}={node}",),
        (f"{driver.upper()}={node}",),
        (f"{driver}:{bed.service}={node}",),
        (f"{driver}:{bed.service.upper()}={node}",),
        (f"{driver}={node},region=us&b=2",),
        (f"{driver}={node},region%3Dus%26b%3D2",),
        (f"{driver}={node},,{metadata({'a': [1]})}",),
        (f"{driver}={node},region=us,{metadata('x')}",),
        (f"{driver}=192.0.2.9", f"{driver}:{bed.service}={node}"),
        ("ebs=i-123,region=us", f"{driver}={node}"),
        (f"{driver}={node}", f"{driver}:elsewhere=192.0.2.9"),
    ]
    for values in forms:
        client = bed.nobody.as_instance(*values)
        assert client.volume(bed.service, made.id, ONLY_MINE).attachment_state == ATTACHED, values


def test_fields_of_an_instance_come_back(bed: Bed) -> None:
    client = bed.nobody.as_instance(f"{bed.driver}={bed.nodes[0]},region=us&zone=a%20b")
    shown = client.service(bed.service, "?instance").instance
    assert shown is not None
    assert shown.instance_id.fields == {"region": "us", "zone": "a b"}


def test_a_list_in_one_header_line_is_not_taken_apart(bed: Bed) -> None:
    value = f"{bed.driver}={bed.nodes[1]},{bed.driver}={bed.nodes[0]}"
    shown = bed.nobody.as_instance(value).service(bed.service, "?instance").instance
    assert shown is not None
    assert shown.instance_id.id == bed.nodes[1]


@pytest.mark.parametrize("value", ["", "vfs", "=id", "vfs=x,,!!!", "vfs=x,,bm90IGpzb24="])
def test_an_instance_id_that_cannot_be_read_is_refused(bed: Bed, value: str) -> None:
    for path in ("/services", "/services/none"):
        with refused(500, "invalid InstanceID", {"value": value}):
            bed.nobody.as_instance(value).call("GET", path)


@pytest.mark.parametrize("value", ["vfs", "vfs=/dev/xvda", "vfs=/dev/a::x, /dev/b::", "=a::b"])
def test_local_devices_that_cannot_be_read_are_refused(bed: Bed, value: str) -> None:
    with refused(500, "invalid LocalDevices", {"value": value}):
        bed.client.with_devices(value).call("GET", "/volumes")


@pytest.mark.parametrize("value", ["{0}=", "{0}=/dev/xvda::,/dev/xvdb::", "{0}=/dev/xvda::/mnt", "ebs=/dev/sda::/"])
def test_local_devices_may_be_empty(bed: Bed, value: str) -> None:
    client = bed.client.with_devices(value.format(bed.driver))
    made = client.create(bed.service, "data")
    client.attach(bed.service, made.id)
    shown = client.volume(bed.service, made.id, ONLY_MINE_WITH_DEVICES)
    assert shown.attachments[0].device_name


def test_a_whole_mount_table_fits_into_a_header(bed: Bed) -> None:
    entries = (f"overlay-{number:05}::/var/lib/containers/overlay/{'f' * 64}/merged" for number in range(3000))
    table = f"{bed.driver}={','.join(entries)}"
    assert len(table) > 256 << 10
    client = bed.client.with_devices(table)
    made = client.create(bed.service, "data")
    client.attach(bed.service, made.id)
    assert client.volume(bed.service, made.id, ONLY_MINE_WITH_DEVICES).holders == [bed.nodes[0]]


@pytest.mark.parametrize(
    "value", [TRANSACTION, TRANSACTION.upper().replace("8F1CD2C2-1A3E-4E1B-9C2D-0A1B2C3D4E5F", ID)]
)
def test_a_transaction_comes_back(bed: Bed, value: str) -> None:
    answer = bed.client.with_headers(Libstorage_Tx=value).raw("GET", "/services")
    assert (answer.status_code, answer.headers["Libstorage-Tx"]) == (200, TRANSACTION)


def test_a_transaction_stands_in_the_log(tmp_path: Path) -> None:
    with live_gateway(tmp_path, extra=f"{DOOR}\n[log]\naccess_sample = 1\n") as gateway:
        with client_of(gateway.addresses["libstorage"]) as client:
            client.with_headers(Libstorage_Tx=TRANSACTION).create("memory", "data")
        gateway.stop()
        assert ID in gateway.log.read_text()


@pytest.mark.parametrize("value", ["x", "txID=1, txCR=2", TRANSACTION.replace("8f1c", "8F1C"), f"{TRANSACTION}x"])
def test_a_transaction_that_cannot_be_read_is_refused_by_a_text(bed: Bed, value: str) -> None:
    answer = bed.client.with_headers(Libstorage_Tx=value).raw("GET", "/services")
    assert (answer.status_code, answer.text.strip()) == (500, "invalid transaction")
    assert answer.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("(name=alpha)", {"alpha"}),
        ("(name=ALPHA)", {"alpha"}),
        ("(name=*)", {"alpha", "beta", "beth"}),
        ("(name=be*)", {"beta", "beth"}),
        ("(name=*a)", {"alpha", "beta"}),
        ("(name=*et*)", {"beta", "beth"}),
        ("(!(name=alpha))", {"beta", "beth"}),
        ("(&(name=be*)(name=*h))", {"beth"}),
        ("(|(name=alpha)(name=beth))", {"alpha", "beth"}),
        ("(fields.team=blue%26white)", {"beth"}),
        ("(fields.team=*)", {"alpha", "beth"}),
        ("(size>=2)", {"beta"}),
        ("(size<=1)", {"alpha", "beth"}),
        ("(name=)", set()),
        ("(nothing=x)", set()),
    ],
)
def test_a_filter_is_applied_to_what_is_shown(bed: Bed, text: str, names: set[str]) -> None:
    bed.client.create(bed.service, "alpha", size=1, opts={"team": "red"})
    bed.client.create(bed.service, "beta", size=2)
    bed.client.create(bed.service, "beth", size=1, opts={"team": "blue&white"})
    assert set(bed.client.named(bed.service, filter=text)) == names
    assert {each.name for each in bed.client.everywhere(filter=text)[bed.service].values()} == names
    assert {each.name for each in bed.client.everywhere(ANY, filter=text)[bed.service].values()} == names


@pytest.mark.parametrize("text", ["name=x", "(name=x", "(name=x)y", "()", "(&(a=b)", "(" * 5000, "(!" * 2000 + "(a=b)"])
def test_a_filter_that_cannot_be_read_is_refused(bed: Bed, text: str) -> None:
    with pytest.raises(RefusedError, match="bad filter") as caught:
        bed.client.volumes(bed.service, filter=text)
    assert caught.value.status == 500
    assert set(caught.value.told) == {"filter", "inner"}


def test_the_version_is_a_text_and_what_would_leak_secrets_is_kept(bed: Bed) -> None:
    assert bed.nobody.version()
    for path in ("/help/config", "/help/env"):
        with refused(401, "invalid admin token"):
            bed.nobody.call("GET", f"{path}?admin=0b7c0d4c-0000-4000-8000-000000000000")


def test_old_clients_find_that_there_is_no_executor_to_fetch(bed: Bed) -> None:
    assert bed.nobody.call("GET", "/executors") == {}
    with not_found("lsx-linux"):
        bed.nobody.call("GET", "/executors/lsx-linux")
    assert bed.nobody.raw("HEAD", "/executors/lsx-linux").status_code == 404


def test_names_of_query_parameters_count_in_any_case(bed: Bed) -> None:
    made = bed.client.create(bed.service, "data")
    client: Client = bed.client
    for query in ("ATTACHMENTS=1", "Attachments=%31"):
        told = client.call("GET", f"/volumes/{bed.service}/{made.id}?{query}")
        assert told["attachmentState"] == 3
    assert client.call("GET", f"/volumes/{bed.service}/data?BYNAME")["id"] == made.id
    for verb in ("attach", "attach=", "attach=true", "ATTACH"):
        assert client.call("POST", f"/volumes/{bed.service}/{made.id}?{verb}")["volume"]["attachmentState"] == ATTACHED
