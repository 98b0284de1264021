from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidArgument
from gateway.core.exporter import Export, ExportAccess
from gateway.core.handles import LocalPath
from gateway.exports.nfs.ganesha import SOCKET_PATH_MAX, runtime_directory
from gateway.exports.nfs.stanza import (
    check,
    client_tokens,
    export_stanza,
    is_beneath,
    main_configuration,
    main_settings,
    nearest,
)

ID = UUID("00000000-0000-4000-8000-000000000001")
ROOT = Path("/srv/state/mnt/one")
HOSTS = {"alpha.example": ("192.0.2.7", "2001:db8::7")}


def resolve(host: str) -> tuple[str, ...]:
    return HOSTS.get(host, ())


def export(*rules: ExportAccess, path: str = "/vol1", read_only: bool = False) -> Export:
    return Export(id=ID, path=path, source=LocalPath(path="/pool/one", read_only=read_only), rules=rules)


def access(*clients: str, write: bool = True, **fields) -> ExportAccess:
    return ExportAccess(clients=clients, write=write, **fields)


def test_whole_stanza():
    text = export_stanza(11, export(access("10.0.0.0/8", "@lab", squash_root=True, anonymous_uid=42)), ROOT, resolve)
    assert (
        text
        == """\
EXPORT {
  Export_Id = 11;
  Path = "/srv/state/mnt/one";
  Pseudo = "/vol1";
  Protocols = 4;
  Transports = TCP;
  SecType = sys;
  Access_Type = None;
  Squash = Root_Squash;
  Attr_Expiration_Time = 0;
  CLIENT {
    Clients = 10.0.0.0/8, @lab;
    Protocols = 4;
    Access_Type = RW;
    Squash = Root_Squash;
    Anonymous_Uid = 42;
    Anonymous_Gid = 42;
  }
  FSAL { Name = VFS; }
}
"""
    )


@pytest.mark.parametrize(
    ("pattern", "tokens"),
    [
        ("192.0.2.1", ("192.0.2.1",)),
        ("192.0.2.1/32", ("192.0.2.1",)),
        ("192.0.2.77/24", ("192.0.2.0/24",)),
        ("192.0.2.0/255.255.255.0", ("192.0.2.0/24",)),
        ("0.0.0.0/0", ("*",)),
        ("0.0.0.0/0.0.0.0", ("*",)),
        ("::/0", ("*",)),
        ("*", ("*",)),
        ("2001:DB8::1", ("2001:db8::1",)),
        ("2001:db8::1/128", ("2001:db8::1",)),
        ("2001:db8::/32", ("2001:db8::/32",)),
        (".lab.example", ("*.lab.example",)),
        ("@lab_hosts", ("@lab_hosts",)),
        ("alpha.example", HOSTS["alpha.example"]),
        ("unknown.example", ()),
    ],
)
def test_client_patterns(pattern, tokens):
    assert client_tokens(pattern, resolve) == tokens


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        " ",
        "10.0.0.1; Access_Type = RW",
        "host }",
        "host{",
        "a,b",
        "host#",
        "ho\nst",
        "host\x00",
        '"host"',
        "host'",
        "@",
        "@a b",
        "@net}group",
        ".",
        ".a b",
        ".a*",
        "*.example",
        "10.0.0.0/33",
        "10.0.0.300",
        "10.0.0",
        "2001:db8::/100",
        "2001:db8::/127",
        "fe80::1%eth0",
        "-host",
        "a" * 254,
        "hôte.example",
        "a/b",
    ],
)
def test_refused_client_patterns(pattern):
    with pytest.raises(InvalidArgument) as caught:
        client_tokens(pattern, resolve)
    assert caught.value.field == "rules"


@given(st.text(max_size=60))
def test_no_client_pattern_escapes_its_token(pattern):
    try:
        tokens = client_tokens(pattern, lambda host: (host,))
    except InvalidArgument:
        return
    for token in tokens:
        assert not set(token) & set(" \t\r\n\x00;{}=\"'#,()%$\\")
        assert token.isascii()


@given(st.text(max_size=60))
def test_no_path_escapes_its_quotes(text):
    path = "/" + text
    try:
        stanza = export_stanza(1, export(access("*"), path=path), ROOT, resolve)
    except InvalidArgument:
        return
    assert stanza.count('"') == 4
    assert f'  Pseudo = "{path}";\n' in stanza
    assert stanza.count("\n") == export_stanza(1, export(access("*")), ROOT, resolve).count("\n")


@pytest.mark.parametrize(
    "path",
    ["", "vol", "/", "//", "/a/", "/a//b", "/a/../b", "/.", '/a"b', "/a'b", "/a\\b", "/a#b", "/a\nb", "/a\x00b"],
)
def test_refused_paths(path):
    with pytest.raises(InvalidArgument) as caught:
        check(export(path=path))
    assert caught.value.field == "path"


@pytest.mark.parametrize("path", ["/a\x7f", "/a\u2028b", "/" + "a" * 1024])
def test_refused_long_or_invisible_paths(path):
    with pytest.raises(InvalidArgument):
        check(export(path=path))


@pytest.mark.parametrize("path", ["/vol1", "/a/b", "/with space", "/a;b{c}", "/größe", "/%include"])
def test_accepted_paths(path):
    check(export(path=path))


def test_without_rules_there_is_no_client_and_no_access():
    text = export_stanza(1, export(), ROOT, resolve)
    assert "CLIENT" not in text
    assert "Access_Type = None;" in text


def test_rule_whose_names_have_no_address_is_left_out_rather_than_empty():
    text = export_stanza(1, export(access("unknown.example"), access("192.0.2.1", write=False)), ROOT, resolve)
    assert text.count("CLIENT {") == 1
    assert "Clients = 192.0.2.1;" in text


def test_rules_keep_their_order():
    text = export_stanza(1, export(access("192.0.2.1", write=False), access("192.0.2.0/24")), ROOT, resolve)
    assert text.index("192.0.2.1;") < text.index("192.0.2.0/24;")
    assert text.index("Access_Type = RO") < text.index("Access_Type = RW")


def test_read_only_source_gives_no_writer():
    assert "Access_Type = RW" not in export_stanza(1, export(access("*"), read_only=True), ROOT, resolve)


def test_root_stays_root_unless_squashed():
    assert "Squash = No_Root_Squash;" in export_stanza(1, export(access("*")), ROOT, resolve)


@pytest.mark.parametrize("uid", [-1, 2**32])
def test_refused_anonymous_uid(uid):
    with pytest.raises(InvalidArgument):
        check(export(access("*", anonymous_uid=uid)))


@pytest.mark.parametrize("number", [0, -1, 65536])
def test_export_numbers_fit_sixteen_bits(number):
    with pytest.raises(InvalidArgument):
        export_stanza(number, export(), ROOT, resolve)


def test_main_configuration_includes_every_stanza_in_order():
    settings = main_settings(bind="127.0.0.1", port=2049, recovery=Path("/srv/state/recovery"))
    text = main_configuration(settings, [Path("/srv/state/b.conf"), Path("/srv/state/a.conf")])
    assert text.endswith('%include "/srv/state/b.conf"\n%include "/srv/state/a.conf"\n')
    assert "NFS_Port = 2049;" in text


@pytest.mark.parametrize(
    ("bind", "port", "field"), [("localhost; }", 2049, "bind"), ("127.0.0.1", 0, "port"), ("127.0.0.1", 65536, "port")]
)
def test_refused_main_settings(bind, port, field):
    with pytest.raises(InvalidArgument) as caught:
        main_settings(bind=bind, port=port, recovery=Path("/srv"))
    assert caught.value.field == field


def test_refused_state_directory():
    with pytest.raises(InvalidArgument):
        main_settings(bind="127.0.0.1", port=2049, recovery=Path('/srv/"/recovery'))


def test_nesting_of_paths():
    assert is_beneath("/a/b", "/a")
    assert not is_beneath("/ab", "/a")
    assert not is_beneath("/a", "/a")
    assert nearest("/a/b/c", ["/a", "/a/b", "/a/b/c", "/x"]) == "/a/b"
    assert nearest("/a", ["/b"]) is None


def test_socket_moves_to_a_short_directory_when_the_state_directory_is_no_address():
    assert runtime_directory(Path("/srv/state")) == Path("/srv/state/run")
    for unfit in (Path("/srv") / ("x" * 100), Path("/srv/with space"), Path("/srv/a,b=c")):
        short = runtime_directory(unfit)
        assert short.parent == Path("/run")
        assert len(bytes(short / "bus")) <= SOCKET_PATH_MAX
        assert short != runtime_directory(unfit / "other")
