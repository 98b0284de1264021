"""Requests and answers of the volume plugin as bytes, the refusals among them. Golden: what Docker's page shows."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from docker_client import PluginClient, plugin_at

from gateway.testing.live import LiveGateway

TYPE = "application/vnd.docker.plugins.v1.1+json"
MIB = 1 << 20


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """Give a gateway on a pool in memory. It can mount, but nothing of that pool."""
    folder = tmp_path_factory.mktemp("docker")
    (folder / "mnt").mkdir()
    extra = (
        'tenants = ["svm1", "svm2"]\n'
        f'[export.mounts]\npaths = ["{folder}/mnt"]\n[frontend.docker]\nsocket = "{folder}/plugin.sock"\n'
        'tenants = ["svm2", "svm1"]\nscope = "global"\n'
    )
    gateway = LiveGateway(folder, extra=extra.partition("\n")[2])
    text = gateway.config.read_text()
    gateway.config.write_text(f"{extra.partition(chr(10))[0]}\n{text}")
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.stop()


@pytest.fixture
def plugin(gateway: LiveGateway) -> Iterator[PluginClient]:
    with plugin_at(gateway.folder / "plugin.sock") as plugin:
        yield plugin
        for name in plugin.names():
            plugin("Remove", Name=name)


GOLDEN = [
    ("/Plugin.Activate", b"", {"Implements": ["VolumeDriver"]}),
    ("/VolumeDriver.Capabilities", b"{}", {"Capabilities": {"Scope": "global"}}),
    ("/VolumeDriver.Capabilities", b"", {"Capabilities": {"Scope": "global"}}),
    ("/VolumeDriver.List", b"{}", {"Volumes": [], "Err": ""}),
    ("/VolumeDriver.List", b"null  ", None),
    ("/VolumeDriver.Create", b'{"Name":"v","Opts":null}', {"Err": ""}),
    ("/VolumeDriver.Create", b'{"Name":"v"}', {"Err": ""}),
    (
        "/VolumeDriver.Create",
        b'{"Name":"v","Opts":{"size":"1GiB"},"More":[1]}',
        {"Err": "volume v already exists, and is not what was asked for"},
    ),
    ("/VolumeDriver.Path", b'{"Name":"v"}', {"Err": "cannot give the path of volume v: it is not mounted"}),
    ("/VolumeDriver.Mount", b'{"Name":"v","ID":"c"}', None),
    ("/VolumeDriver.Unmount", b'{"Name":"v","ID":"c"}', {"Err": ""}),
    ("/VolumeDriver.Remove", b'{"Name":"v"}', {"Err": ""}),
    ("/VolumeDriver.Remove", b'{"Name":"v"}', {"Err": "volume v not found"}),
    ("/VolumeDriver.Get", b'{"Name":"v"}', {"Err": "volume v not found"}),
    ("/VolumeDriver.Mount", b'{"Name":"v","ID":"c"}', {"Err": "volume v not found"}),
    ("/VolumeDriver.Unmount", b'{"Name":"v","ID":"c"}', {"Err": "volume v not found"}),
    ("/VolumeDriver.Path", b'{"Name":"v"}', {"Err": "volume v not found"}),
    *((f"/VolumeDriver.{call}", b"{}", {"Err": "name: must not be empty"}) for call in ("Create", "Remove", "Get")),
]


def test_every_call_in_turn(plugin: PluginClient) -> None:
    for path, body, expected in GOLDEN:
        answer = plugin.http.post(path, content=body, headers={"Content-Type": "text/plain"})
        if expected is None:
            continue
        assert (answer.status_code, answer.json()) == (200, expected), path
        assert answer.headers["Content-Type"] == TYPE


def test_a_volume_is_shown(plugin: PluginClient) -> None:
    plugin("Create", Name="v", Opts={"size": "64MiB", "team": "x", "io_priority": "high", "pool": "memory"})
    answer = plugin("Get", Name="name=v,size=1G")
    shown = answer["Volume"]
    assert answer["Err"] == ""
    assert (shown["Name"], shown["Mountpoint"], shown["CreatedAt"][:2]) == ("name=v,size=1G", "", "20")
    status = shown["Status"]
    assert len(status.pop("id")) == 36
    assert status == {
        "tenant": "svm2",
        "pool": "memory",
        "kind": "filesystem",
        "state": "online",
        "size": 64 * MIB,
        "used": status["used"],
        "labels": {"team": "x"},
        "users": 0,
        "not_followed": {"io_priority": "high"},
    }
    (listed,) = plugin("List")["Volumes"]
    assert (listed["Name"], listed["Mountpoint"], "Status" in listed) == ("v", "", False)


def test_names_count_over_all_tenants_of_the_door(plugin: PluginClient) -> None:
    plugin("Create", Name="first", Opts={"tenant": "svm1"})
    plugin("Create", Name="second")
    assert plugin.names() == ["first", "second"]
    assert (plugin.status("first")["tenant"], plugin.status("second")["tenant"]) == ("svm1", "svm2")
    assert "already exists" in plugin.refused("Create", Name="second", Opts={"tenant": "svm1"})
    assert plugin.refused("Create", Name="x", Opts={"tenant": "svm3"}) == "tenant: must be one of svm2, svm1"
    # A repeated call that says less is the same call.
    plugin("Create", Name="first")


REFUSED = [
    ({"size": "0"}, "size: must not be zero"),
    ({"size": "-1"}, "size: is negative"),
    ({"size": "x"}, "size: is not a size such as 10GiB"),
    (
        {"size": "1GiB", "Size": "2"},
        "Size: is no option; did you mean 'size'? Write labels=Size=... for a label of this name",
    ),
    ({"poool": "memory"}, "poool: is no option; did you mean 'pool'? Write labels=poool=... for a label of this name"),
    ({"pool": "none"}, "pool none not found"),
    ({"kind": "tape"}, "kind: must be one of auto, filesystem, block"),
    ({"fs": "zfs"}, "fs: no pool has volumes with zfs here"),
    ({"fs": "none"}, "fs: must be one of btrfs, ext4, nfs, vfs, xfs, zfs"),
    ({"from": "nothing"}, "volume or snapshot nothing not found"),
    ({"from": "a@b", "parent": "c"}, "from: is given beside parent, which means the same"),
    ({"secret_key": "hidden"}, "secret_key: cannot be had: no pool encrypts volumes by itself"),
    ({"token": "hidden"}, "token: means nothing here: whoever reaches this door may use it"),
    ({"repl": "3"}, "repl: cannot be had: pools keep one copy as far as this door knows"),
]


@pytest.mark.parametrize(("options", "text"), REFUSED)
def test_options_that_cannot_be(plugin: PluginClient, options: dict[str, str], text: str) -> None:
    assert plugin.refused("Create", Name="v", Opts=options) == text
    assert plugin.names() == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("name=v,sise=1G", "sise: is no option; did you mean 'size'?"),
        ("name=v,size=1G,size=2G", "size: is given twice"),
        ("name=", "name: must have letters, digits, hyphens and underscores only"),
        ("a/b", "name: holds a slash or a control character"),
        ("..", "name: holds a slash or a control character"),
        ("a\0b", "name: holds a slash or a control character"),
        ("v" * 256, "name: must have 1 to 255 bytes"),
    ],
)
def test_names_that_cannot_be(plugin: PluginClient, name: str, text: str) -> None:
    assert plugin.refused("Create", Name=name) == text


def test_copies(plugin: PluginClient) -> None:
    plugin("Create", Name="v@w", Opts={"size": "64MiB"})
    plugin("Create", Name="copy", Opts={"from": "v@w"})
    plugin("Create", Name="again", Opts={"parent": plugin.status("v@w")["id"], "size": "128MiB"})
    assert plugin.status("again")["size"] == 128 * MIB
    for options, text in [
        ({"size": "1MiB"}, "size: what from names has 67108864 bytes, and a copy has no fewer"),
        ({"kind": "block"}, "kind: what from names is of kind filesystem"),
        ({"fs": "ext4"}, "fs: what from names has vfs"),
        ({"pool": "other"}, "pool: a copy is in its source's pool, memory"),
        ({"tenant": "svm1"}, "tenant: a copy is its source's tenant's"),
    ]:
        assert plugin.refused("Create", Name="x", Opts={"from": "v@w", **options}) == text
    assert "is not what was asked for" in plugin.refused("Create", Name="copy", Opts={"from": "again"})
    larger = plugin.refused("Create", Name="copy", Opts={"from": "v@w", "size": "96MiB"})
    assert "is not what was asked for" in larger
    plugin("Remove", Name="v@w")
    assert plugin.names() == ["again", "copy"]


def test_what_is_only_in_memory_cannot_be_mounted(plugin: PluginClient) -> None:
    plugin("Create", Name="v")
    assert "no mount on" in plugin.refused("Mount", Name="v", ID="c")
    assert plugin.status("v")["users"] == 0


BODIES = [
    b"{",
    b"[]",
    b'"v"',
    b"\xff",
    b'{"Name":"\xff"}',
    b'{"Name":1}',
    b'{"Name":"v","Opts":[]}',
    b'{"Name":"v","Opts":{"size":1}}',
    b'{"Name":null}',
    b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_a_body_that_cannot_be_read(plugin: PluginClient, body: bytes) -> None:
    answer = plugin.http.post("/VolumeDriver.Create", content=body)
    assert answer.status_code == 400
    assert answer.json()["Err"].startswith("the body cannot be read: ")


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/VolumeDriver.List", {}, 405),
        ("POST", "/VolumeDriver.Nothing", {}, 404),
        ("POST", "/", {}, 404),
        ("GET", "/status", {}, 404),
        ("POST", "/VolumeDriver.List", {"Origin": "http://page.example"}, 403),
        ("POST", "/VolumeDriver.List", {"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_what_is_no_call(plugin: PluginClient, method: str, path: str, headers: dict[str, str], status: int) -> None:
    answer = plugin.http.request(method, path, headers=headers)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, TYPE)
    assert answer.json()["Err"]


def test_a_body_that_is_too_large(plugin: PluginClient) -> None:
    answer = plugin.http.post("/VolumeDriver.Create", content=b" " * (2 * MIB))
    assert answer.status_code == 413


def test_many_volumes_are_listed_by_name(plugin: PluginClient) -> None:
    names = sorted(f"v{number}" for number in range(30))
    for number, name in enumerate(names):
        plugin("Create", Name=name, Opts={"tenant": ("svm1", "svm2")[number % 2]})
    assert plugin.names() == names


def test_calls_are_audited_without_what_a_name_string_hides(gateway: LiveGateway, plugin: PluginClient) -> None:
    plugin.refused("Create", Name="name=audited,secret_key=hidden")
    lines = [json.loads(line) for line in gateway.log.read_text().splitlines() if '"audited"' in line]
    assert [(line["operation"], line["target"], line["outcome"]) for line in lines] == [
        ("volume.create", "audited", "InvalidArgument")
    ]
    assert "hidden" not in gateway.log.read_text()
