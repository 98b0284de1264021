"""The headers of libStorage, from their texts and back."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.frontends.libstorage.headers import (
    INSTANCE_ID_MAX,
    BadHeader,
    DeviceText,
    InstanceId,
    LocalDevices,
    Transaction,
    choose_devices,
    choose_instance,
    isilon_id,
    parse_instance_ids,
    parse_local_devices,
    parse_transaction,
    vfs_id,
)

METADATA = {"Hello": "hi", "There": "here", "Value": 3, "Data": {"f1": 0, "f2": "1"}}
METADATA_TEXT = "eyJIZWxsbyI6ImhpIiwiVGhlcmUiOiJoZXJlIiwiVmFsdWUiOjMsIkRhdGEiOnsiZjEiOjAsImYyIjoiMSJ9fQ=="
UUID = "3a8c1c9e-58b8-4b3e-9a35-8e4f2f0f8d11"


def instance(text: str) -> InstanceId:
    (found,) = parse_instance_ids([text])
    return found


def devices(text: str) -> LocalDevices:
    (found,) = parse_local_devices([text])
    return found


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("vfs=1234", InstanceId("vfs", "", "1234")),
        ("vfs:vfs-001=1234", InstanceId("vfs", "vfs-001", "1234")),
        ("vfs=1234,region=west", InstanceId("vfs", "", "1234", {"region": "west"})),
        ("vfs:vfs-001=1234,b=2&region=us", InstanceId("vfs", "vfs-001", "1234", {"region": "us", "b": "2"})),
        (f"vfs=1234,,{METADATA_TEXT}", InstanceId("vfs", "", "1234", {}, METADATA)),
        (f"vfs=1234,a=%2C+%3D,{METADATA_TEXT}", InstanceId("vfs", "", "1234", {"a": ", ="}, METADATA)),
        ("vfs=,,InZtIg==", InstanceId("vfs", "", "", {}, "vm")),
        ("vfs=,,bnVsbA==", InstanceId("vfs", "", "", {}, None)),
        ("scaleio=", InstanceId("scaleio", "", "")),
        ("VFS:Fast=Host-A=1", InstanceId("VFS", "Fast", "Host-A=1")),
        ("rbd=fe80::1", InstanceId("rbd", "", "fe80::1")),
    ],
)
def test_an_instance_id_is_read_and_written(text: str, wanted: InstanceId) -> None:
    assert instance(text) == wanted
    assert wanted.text() == text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("vfs=1,region%3Dus%26b%3D2", InstanceId("vfs", "", "1", {"region": "us", "b": "2"})),
        ("vfs=1,a=1&a=2", InstanceId("vfs", "", "1", {"a": "1"})),
        ("vfs=1,a", InstanceId("vfs", "", "1", {"a": ""})),
        ("vfs=1,", InstanceId("vfs", "", "1")),
        ("vfs:a:b=1", InstanceId("vfs", "a", "1")),
    ],
)
def test_other_spellings_of_an_instance_id(text: str, wanted: InstanceId) -> None:
    assert instance(text) == wanted


def test_a_joined_list_of_instance_ids_is_one_with_odd_fields() -> None:
    assert instance("vfs=a,isilon=b") == InstanceId("vfs", "", "a", {"isilon": "b"})
    with pytest.raises(BadHeader):
        instance("vfs=a,isilon=b,ebs=c")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "vfs",
        "=1",
        "vfs=1,a=%zz",
        "vfs=1,,****",
        "vfs=1,,InZtIg",
        "vfs=1,,InZtIg==,",
        f"vfs=1,,{base64.b64encode(b'no json').decode()}",
        f"vfs=1,,{base64.b64encode(b'[' * 40_000).decode()}",
        f"vfs=1,,{base64.b64encode(bytes([34, 255, 34])).decode()}",
        f"vfs=1,,{base64.b64encode(b'1e999').decode()}",
        "vfs=a\x00",
        "vfs=a\udcff",
        f"vfs={'a' * INSTANCE_ID_MAX}",
        f"vfs=1,{'a=1&' * 100}",
    ],
)
def test_what_is_no_instance_id(text: str) -> None:
    with pytest.raises(BadHeader, match="invalid InstanceID") as caught:
        instance(text)
    assert (caught.value.kind, caught.value.value) == ("InstanceID", text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters=",=:", exclude_categories=("C", "Z")), min_size=1)


@given(
    st.builds(
        InstanceId,
        driver=NAMES,
        service=NAMES | st.just(""),
        id=NAMES | st.just(""),
        fields=st.dictionaries(
            st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8"))
        ),
        metadata=JSON | st.just(msgspec.UNSET),
    )
)
def test_instance_ids_survive_the_way(sent: InstanceId) -> None:
    assert instance(sent.text()) == sent


@given(st.text())
def test_no_text_breaks_the_reading(text: str) -> None:
    for read in (instance, devices, parse_transaction):
        try:
            read(text)
        except BadHeader as bad:
            assert bad.value == text  # noqa: PT017 - most texts are refused, and some are not


@pytest.mark.parametrize(
    ("headers", "service", "driver", "wanted"),
    [
        (["vfs=a"], "fast", "vfs", "a"),
        (["VFS=a"], "Fast", "vfs", "a"),
        (["vfs:FAST=a", "vfs=b"], "fast", "vfs", "a"),
        (["vfs:slow=a", "vfs=b"], "fast", "vfs", "b"),
        (["vfs:slow=a"], "fast", "vfs", None),
        (["isilon:fast=a"], "fast", "vfs", "a"),
        (["isilon=a"], "fast", "vfs", None),
        (["vfs=a", "vfs=b"], "fast", "vfs", "b"),
        (["vfs:fast=a", "vfs:fast=b", "vfs=c"], "fast", "vfs", "b"),
        ([], "fast", "vfs", None),
    ],
)
def test_whose_id_counts_for_a_service(headers: list[str], service: str, driver: str, wanted: str | None) -> None:
    found = choose_instance(parse_instance_ids(headers), service=service, driver=driver)
    assert (found and found.id) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("scaleio=", {}),
        ("vfs=/dev/xvda::,/dev/xvdb::", {"/dev/xvda": "", "/dev/xvdb": ""}),
        ("vfs=vfs-000::/dev/xvda,vfs-001::/dev/xvdb", {"vfs-000": "/dev/xvda", "vfs-001": "/dev/xvdb"}),
        ("isilon=10.0.0.1:/ifs/a::/mnt/a,proc::/proc", {"10.0.0.1:/ifs/a": "/mnt/a", "proc": "/proc"}),
        ("isilon=[fd00::1]:/a::/mnt/a,b::/b", {"[fd00::1]:/a": "/mnt/a", "b": "/b"}),
        ("vfs=a::1,a::2", {"a": "2"}),
        ("vfs=a::b::c", {"a": "b::c"}),
        ("vfs=a::/with,comma,b::/b", {"a": "/with", "b": "/b"}),
        ("vfs=[odd::x", {"[odd": "x"}),
        ("vfs=a::1,::2", {"a": "1", "": "2"}),
    ],
)
def test_local_devices_are_read(text: str, wanted: dict[str, str]) -> None:
    found = devices(text)
    assert found.driver == text.partition("=")[0]
    assert dict(found.devices) == wanted
    assert len(found.devices) == len(wanted)
    for key, value in wanted.items():
        assert key in found.devices
        assert found.devices[key] == value
    assert "nowhere" not in found.devices
    assert "comma,b" not in found.devices
    assert "b::c" not in found.devices


@pytest.mark.parametrize(
    "text", ["", "vfs", "=a::b", "vfs=a", "vfs=::b", "vfs=a:: b", "vfs=a::b, c::d", "vfs=a::\tb", "vfs= "]
)
def test_what_is_no_local_devices(text: str) -> None:
    with pytest.raises(BadHeader, match="invalid LocalDevices"):
        devices(text)


KEYS = st.text(st.characters(codec="utf-8", exclude_characters=",:= \t\r\n\f\v"), min_size=1)
SOURCES = st.one_of(KEYS, KEYS.map(lambda key: f"/dev/{key}"), KEYS.map(lambda key: f"[fd00::1]:/{key}"))


@given(st.dictionaries(SOURCES, st.text(st.characters(codec="utf-8", exclude_characters=", \t\r\n\f\v"))))
def test_local_devices_survive_the_way(sent: dict[str, str]) -> None:
    found = devices(LocalDevices("vfs", sent).text())
    assert found == LocalDevices("vfs", sent)
    assert all(found.devices[key] == value for key, value in sent.items())


@given(st.text(",:[]a"), st.text(":[]a"))
def test_a_look_up_gives_what_the_whole_reading_gives(text: str, key: str) -> None:
    found = DeviceText(text)
    assert found.get(key) == dict(found.items()).get(key)
    assert dict(found) == {each: found[each] for each in found}


def test_a_whole_mount_table_is_found_in() -> None:
    table = ",".join(f"10.0.{i // 250}.{i % 250}:/exports/volume-{i}::/var/lib/x/{i}" for i in range(6000))
    assert len(table) > 256 << 10
    found = devices(f"isilon={table}").devices
    assert found["10.0.3.249:/exports/volume-999"] == "/var/lib/x/999"
    assert "10.0.0.1:/exports/volume-9999" not in found
    assert len(found) == 6000
    assert repr(devices("vfs=a::1")) == "LocalDevices(driver='vfs', devices=DeviceText('a::1'))"


def test_the_devices_of_a_driver() -> None:
    found = parse_local_devices(["vfs=a::1", "Isilon=b::2", "vfs=c::3"])
    assert choose_devices(found, driver="VFS") == {"c": "3"}
    assert choose_devices(found, driver="isilon") == {"b": "2"}
    assert choose_devices(found, driver="ebs") is None


@pytest.mark.parametrize(
    "text",
    [
        f"txID={UUID}, txCR=1460645520",
        f"txID={UUID},txCR=1460645520",
        f"TXID={UUID} ,  txcr=1460645520",
        f"txID=urn:uuid:{UUID}, txCR=1460645520",
        f"txID={{{UUID}}}, txCR=1460645520",
    ],
)
def test_a_transaction_is_read(text: str) -> None:
    assert parse_transaction(text) == Transaction(UUID, 1460645520)


def test_a_transaction_is_written_as_clients_write_it() -> None:
    made_by_the_reference = "3a8c1c9e-58b8-4b3e-5a35-8e4f2f0f8d11"
    assert parse_transaction(f"txID={made_by_the_reference}, txCR=1").id == made_by_the_reference
    assert Transaction(UUID, 1460645520).text() == f"txID={UUID}, txCR=1460645520"


@pytest.mark.parametrize(
    "text",
    [
        "",
        UUID,
        f"txID={UUID}",
        f"txID={UUID.upper()}, txCR=1",
        f"txID={UUID}, txCR=-1",
        f"txID={UUID}, txCR=x",
        f"txID={UUID}, txCR={'1' * 40}",
        "txID=3a8c1c9e-58b8-6b3e-9a35-8e4f2f0f8d11, txCR=1",
        "txID=3a8c1c9e-58b8-4b3e-9a35-8e4f2f0f8d1, txCR=1",
        f"txID={UUID}, txCR=1, more=2",
    ],
)
def test_what_is_no_transaction(text: str) -> None:
    with pytest.raises(BadHeader, match="invalid transaction"):
        parse_transaction(text)


LISTED = ["127.0.0.1/8", "192.0.2.2/24", "::1/128", "fe80::1/64", "2001:db8::5/64"]


@pytest.mark.parametrize(
    ("metadata", "peer", "wanted"),
    [
        (LISTED, "192.0.2.2", "192.0.2.2"),
        (LISTED, "127.0.0.1", "127.0.0.1"),
        (LISTED, "::ffff:192.0.2.2", "192.0.2.2"),
        (LISTED, "2001:db8::5", "2001:db8::5"),
        (LISTED, "203.0.113.9", "192.0.2.2"),
        (LISTED, "", "192.0.2.2"),
        (["fe80::1/64", "2001:DB8::5/64"], "", "2001:db8::5"),
        (["::1/128", "127.0.0.1/8"], "", "127.0.0.1"),
        (["fe80::1/64"], "", "fe80::1"),
        (["10.1.2.3"], "", "10.1.2.3"),
        (["fe80::1%eth0/64", "fe80::2/64"], "fe80::1%eth0", "fe80::2"),
        (["224.0.0.1/4", "0.0.0.0/0"], "", ""),
        (["x", 7, None, ["10.0.0.1/24"], "", "10.0.0/24"], "10.0.0.1", ""),
        ([f"10.0.{i}.1/8" for i in range(256)] * 3, "10.0.7.1", "10.0.7.1"),
        ([], "10.0.0.1", ""),
        ("10.0.0.1", "10.0.0.1", ""),
        (None, "10.0.0.1", ""),
        (msgspec.UNSET, "10.0.0.1", ""),
    ],
)
def test_the_id_of_a_node_by_its_addresses(metadata: Any, peer: str, wanted: str) -> None:
    assert isilon_id(metadata, peer) == wanted


def test_the_metadata_of_the_executors_leads_to_ids() -> None:
    listed = base64.b64encode(json.dumps(["10.0.0.5/24", "fe80::1/64"]).encode()).decode()
    assert isilon_id(instance(f"isilon=,,{listed}").metadata, "") == "10.0.0.5"
    assert vfs_id(instance("vfs=,,InZtIg==").metadata) == "vm"


@pytest.mark.parametrize("metadata", ["", "a b", "a,b", "a=b", ["vm"], 7, None, msgspec.UNSET])
def test_what_is_no_host_name(metadata: Any) -> None:
    assert vfs_id(metadata) == ""
