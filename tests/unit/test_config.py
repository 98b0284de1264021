from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from gateway.config import Address, ConfigError, LogLevel, Settings, TlsSettings, UsernameClaim, load, schema
from gateway.core.secret import AccessKeys, Secret


class MemoryOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    size: Annotated[int, msgspec.Meta(ge=1)] = 1000
    fast: bool = False


class DiskOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    path: Path
    extra: tuple[Path, ...] = ()
    credentials: Secret | None = None
    keys: AccessKeys | None = None


class NfsOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    engine: str = "ganesha"
    port: int | None = None


class DoorOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    listen: str = ""


DRIVERS = {"memory": MemoryOptions, "disk": DiskOptions}
EXPORTERS = {"nfs": NfsOptions}
DOORS = {"door": DoorOptions}
MINIMAL = "[backend.memory]\n"


def read(tmp_path: Path, text: str, *, name: str = "config.toml", env: dict[str, str] | None = None) -> Settings:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return load([path], env or {}, drivers=DRIVERS, exporters=EXPORTERS, doors=DOORS)


def refuse(tmp_path: Path, text: str, *, name: str = "config.toml", env: dict[str, str] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, name=name, env=env)
    return caught.value


def test_the_minimal_file_gives_every_default(tmp_path: Path) -> None:
    settings = read(tmp_path, MINIMAL)
    assert settings.address == Address("127.0.0.1", 8443)
    assert settings.tenants == ("svm1",)
    assert settings.limits.max_body_bytes == 1024 * 1024
    assert settings.catalog.url == "sqlite"
    assert settings.data_dir == tmp_path / "data"
    assert settings.accounts == tmp_path / "accounts.toml"
    assert settings.tls.certificate == tmp_path / "tls/cert.pem"
    assert settings.tls.key == tmp_path / "tls/key.pem"
    assert settings.backend["memory"].options == MemoryOptions()


def test_the_catalog_is_in_the_data_folder_or_where_its_url_says(tmp_path: Path) -> None:
    assert read(tmp_path, MINIMAL).catalog_file == tmp_path / "data/catalog.sqlite"
    settings = read(tmp_path, '[catalog]\nurl = "sqlite:///srv/shared/c.sqlite"\n' + MINIMAL)
    assert settings.catalog_file == Path("/srv/shared/c.sqlite")


@pytest.mark.parametrize("url", ["", "sqlite:", "sqlite://", "sqlite://host/c", "/srv/c.sqlite", "postgresql://h/c"])
def test_a_catalog_that_is_none_of_ours(tmp_path: Path, url: str) -> None:
    error = refuse(tmp_path, f'[catalog]\nurl = "{url}"\n' + MINIMAL)
    assert error.path == ("catalog",)
    assert error.reason == f"url: {url!r} is neither 'sqlite' nor 'sqlite:///PATH'"


def test_a_backend_has_driver_mask_and_options(tmp_path: Path) -> None:
    text = '[backend.fast]\ndriver = "disk"\npath = "vols"\nextra = ["/a", "b"]\ndisable = ["clone", "shrink"]\n'
    fast = read(tmp_path, text).backend["fast"]
    assert (fast.name, fast.driver, fast.disable) == ("fast", "disk", ("clone", "shrink"))
    assert fast.options == DiskOptions(path=tmp_path / "vols", extra=(Path("/a"), tmp_path / "b"))


def test_export_options_and_frontend_tables(tmp_path: Path) -> None:
    settings = read(tmp_path, MINIMAL + '[export.nfs]\nport = 2050\n[frontend.door]\nlisten = "127.0.0.1:7979"\n')
    assert settings.export["nfs"] == NfsOptions(port=2050)
    assert settings.frontend == {"door": DoorOptions(listen="127.0.0.1:7979")}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.json", '{"listen": "127.0.0.1:1", "backend": {"memory": {"size": 7}}}'),
        ("c.yaml", 'listen: "127.0.0.1:1"\nbackend:\n  memory:\n    size: 7\n'),
        ("c.yml", 'listen: "127.0.0.1:1"\nbackend: {memory: {size: 7}}\n'),
        ("c.toml", 'listen = "127.0.0.1:1"\nbackend.memory.size = 7\n'),
    ],
)
def test_every_format_has_the_same_shape(tmp_path: Path, name: str, text: str) -> None:
    settings = read(tmp_path, text, name=name)
    assert settings.listen == "127.0.0.1:1"
    assert settings.backend["memory"].options == MemoryOptions(size=7)


def test_files_folder_and_environment_are_merged_in_order(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/20-b.json").write_text('{"name": "b", "backend": {"memory": {"size": 20}}}')
    (tmp_path / "conf.d/10-a.toml").write_text('name = "a"\ntenants = ["x", "y"]\n[backend.disk]\npath = "p"\n')
    (tmp_path / "conf.d/ignored.txt").write_text("no")
    other = tmp_path / "other.yaml"
    other.write_text("log: {level: debug}\n")
    first = tmp_path / "config.toml"
    first.write_text('name = "main"\n[backend.memory]\nfast = true\nsize = 5\n')
    environment = {
        "GATEWAY__BACKEND__MEMORY__SIZE": "30",
        "GATEWAY__NAME": "42",
        "GATEWAY__LOG__ACCESS_SAMPLE": "0.5",
        "GATEWAY__TENANTS": '["z"]',
        "GATEWAY__EXPORT__NFS__PORT": "99",
        "GATEWAY__TLS__CERTIFICATE": "c.pem",
        "GATEWAY_URL": "https://elsewhere",
    }
    settings = load([first, other], environment, drivers=DRIVERS, exporters=EXPORTERS, doors=DOORS)
    assert settings.backend["memory"].options == MemoryOptions(size=30, fast=True)
    assert settings.backend["disk"].options == DiskOptions(path=tmp_path / "p")
    assert settings.name == "42"
    assert settings.tenants == ("z",)
    assert settings.log.level is LogLevel.DEBUG
    assert settings.log.access_sample == 0.5
    assert settings.export["nfs"] == NfsOptions(port=99)
    assert settings.tls.certificate == tmp_path / "c.pem"


def test_relative_paths_begin_at_the_file_that_states_them(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a/config.toml").write_text(MINIMAL)
    (tmp_path / "b/more.toml").write_text('data_dir = "state"\n')
    paths = [tmp_path / "a/config.toml", tmp_path / "b/more.toml"]
    settings = load(paths, {}, drivers=DRIVERS, exporters=EXPORTERS, doors=DOORS)
    assert settings.data_dir == tmp_path / "b/state"
    assert settings.accounts == tmp_path / "a/accounts.toml"


@pytest.mark.parametrize(
    ("text", "path", "line", "meant"),
    [
        ('lisen = "127.0.0.1:1"\n' + MINIMAL, ("lisen",), 1, "listen"),
        (MINIMAL + "siz = 1\n", ("backend", "memory", "siz"), 2, "size"),
        (MINIMAL + "[tls]\n# comment\nkye = 'x'\n", ("tls", "kye"), 4, "key"),
        (MINIMAL + "[tsl]\nkey = 'x'\n", ("tsl",), 2, "tls"),
        (MINIMAL + "[export.nfs]\nengin = 'x'\n", ("export", "nfs", "engin"), 3, "engine"),
        (MINIMAL + "[export.nsf]\n", ("export", "nsf"), 2, "nfs"),
        ("[backend.memry]\n", ("backend", "memry"), 1, "memory"),
        ('[backend.a]\ndriver = "dis"\n', ("backend", "a", "driver"), 2, "disk"),
        (MINIMAL + 'disable = ["clone", "clones"]\n', ("backend", "memory", "disable"), 2, "clone"),
        (MINIMAL + "limits.max_body = 3\n", ("backend", "memory", "limits"), 2, None),
        ("limits.max_body = 3\n" + MINIMAL, ("limits", "max_body"), 1, "max_body_bytes"),
        ('"listen " = 1\n' + MINIMAL, ("listen ",), 1, "listen"),
    ],
)
def test_an_unknown_key_is_placed_and_the_nearest_known_one_named(
    tmp_path: Path, text: str, path: tuple[str, ...], line: int, meant: str | None
) -> None:
    error = refuse(tmp_path, text)
    assert (error.path, error.line, error.nearest) == (path, line, meant)
    assert str(error).startswith(f"{tmp_path / 'config.toml'}:{line}: {'.'.join(path)}: ")


@pytest.mark.parametrize(
    ("text", "path", "word"),
    [
        ("listen = 8443\n" + MINIMAL, ("listen",), "Expected `str`"),
        ("tls = 3\n" + MINIMAL, ("tls",), "Expected `object`"),
        ('[backend]\nmemory = "x"\n', ("backend", "memory"), "table"),
        ("backend = 3\n", ("backend",), "tables"),
        ("export = []\n" + MINIMAL, ("export",), "tables"),
        (MINIMAL + "size = 0\n", ("backend", "memory", "size"), ">= 1"),
        (MINIMAL + 'size = "1"\n', ("backend", "memory", "size"), "Expected `int`"),
        (MINIMAL + "disable = 'clone'\n", ("backend", "memory", "disable"), "Expected `array`"),
        (MINIMAL + "driver = 3\n", ("backend", "memory", "driver"), "no driver 3"),
        (MINIMAL + "driver = []\n", ("backend", "memory", "driver"), "no driver"),
        ("[backend.disk]\n", ("backend", "disk"), "required field `path`"),
        ("[backend.disk]\npath = 5\n", ("backend", "disk", "path"), "Path"),
        ("[backend.disk]\npath = ''\n", ("backend", "disk", "path"), "not a path"),
        ("[backend.disk]\npath = 'a\\u0000'\n".replace("'", '"'), ("backend", "disk", "path"), "not a path"),
        ("[log]\nlevel = 'loud'\n" + MINIMAL, ("log", "level"), "loud"),
        ("[log]\naccess_sample = 1.5\n" + MINIMAL, ("log", "access_sample"), "<= 1"),
        ("[limits]\nmax_body_bytes = 0\n" + MINIMAL, ("limits", "max_body_bytes"), ">= 1"),
        ("[limits]\nrequest_timeout_s = nan\n" + MINIMAL, ("limits", "request_timeout_s"), ">"),
        ("name = 'a/b'\n" + MINIMAL, ("name",), "not a name"),
        ("name = ''\n" + MINIMAL, ("name",), "not a name"),
        ("tenants = []\n" + MINIMAL, ("tenants",), "at least one"),
        ("tenants = ['a', 'a']\n" + MINIMAL, ("tenants",), "twice"),
        ("tenants = ['a', '\u2603']\n" + MINIMAL, ("tenants",), "not a name"),
        ("['backend']\n'a b' = {driver = 'memory'}\n", ("backend", "a b"), "not a name"),
        ("frontend.dor = {}\n" + MINIMAL, ("frontend", "dor"), "no such door"),
        ("frontend.door = 3\n" + MINIMAL, ("frontend", "door"), "must be a table"),
        ("[peer]\nports = [11118, 11110]\n" + MINIMAL, ("peer",), "not before the last"),
        ("[peer]\nports = [0, 10]\n" + MINIMAL, ("peer", "ports"), ">= 1"),
    ],
)
def test_a_wrong_value_names_its_key(tmp_path: Path, text: str, path: tuple[str, ...], word: str) -> None:
    error = refuse(tmp_path, text)
    assert error.path == path
    assert word in error.reason
    assert error.source == str(tmp_path / "config.toml")


@pytest.mark.parametrize(
    "listen",
    ["8443", ":8443", "host:", "host:65536", "host:-1", "::1:8443", "[::1]", "a b:1", "http://a:1", "h:1\n", ""],
)
def test_an_address_that_is_none(tmp_path: Path, listen: str) -> None:
    error = refuse(tmp_path, f"listen = {msgspec.json.encode(listen).decode()}\n" + MINIMAL)
    assert (error.path, error.line) == (("listen",), 1)
    assert "HOST:PORT" in error.reason


@pytest.mark.parametrize(
    ("text", "loopback"),
    [("127.0.0.1:1", True), ("127.9.9.9:1", True), ("[::1]:1", True), ("localhost:1", True), ("0.0.0.0:1", False)],
)
def test_addresses(text: str, loopback: bool) -> None:
    address = Address.parse(text)
    assert address.loopback is loopback
    assert str(address) == text


@pytest.mark.parametrize("listen", ["0.0.0.0:80", "[::]:80", "storage.example:80"])
def test_plain_http_that_others_can_reach_must_be_forced(tmp_path: Path, listen: str) -> None:
    plain = f'listen = "{listen}"\n{MINIMAL}[tls]\nenabled = false\n'
    error = refuse(tmp_path, plain)
    assert error.path == ("listen",)
    assert "force_plain" in error.reason
    assert read(tmp_path, plain + "force_plain = true\n").tls.force_plain
    with pytest.raises(ValueError, match="force_plain"):
        Settings(listen=listen, tls=TlsSettings(enabled=False))


def test_plain_http_on_loopback_is_allowed(tmp_path: Path) -> None:
    assert not read(tmp_path, MINIMAL + "[tls]\nenabled = false\n").tls.enabled


def test_secrets_are_references(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("from file\n", encoding="utf-8")
    disk = '[backend.disk]\npath = "p"\ncredentials = "{}"\n'
    by_env = read(tmp_path, disk.format("env:TOKEN"), env={"TOKEN": "t0p"}).backend["disk"].options
    by_file = read(tmp_path, disk.format("file:s")).backend["disk"].options
    assert by_env == DiskOptions(path=tmp_path / "p", credentials=Secret("t0p"))
    assert by_file == DiskOptions(path=tmp_path / "p", credentials=Secret("from file"))
    assert "t0p" not in repr(by_env)


def test_access_keys_are_several_secrets_behind_one_reference(tmp_path: Path) -> None:
    (tmp_path / "k.toml").write_text('access_key = "me"\nsecret_key = "t0p"\n', encoding="utf-8")
    disk = '[backend.disk]\npath = "p"\nkeys = "{}"\n'
    env = {"STORE_ACCESS_KEY": "me", "STORE_SECRET_KEY": "t0p", "STORE_SESSION_TOKEN": "now"}
    by_env = read(tmp_path, disk.format("env:STORE"), env=env).backend["disk"].options
    by_file = read(tmp_path, disk.format("file:k.toml")).backend["disk"].options
    assert by_env == DiskOptions(path=tmp_path / "p", keys=AccessKeys("me", Secret("t0p"), Secret("now")))
    assert by_file == DiskOptions(path=tmp_path / "p", keys=AccessKeys("me", Secret("t0p")))
    assert "t0p" not in repr(by_env)


@pytest.mark.parametrize(
    ("reference", "word"),
    [
        ("me:t0p", "not the secret itself"),
        ("env:MISSING", "no variable 'MISSING_ACCESS_KEY'"),
        ("env:HALF", "no variable 'HALF_SECRET_KEY'"),
        ("file:missing", "No such file"),
        ("file:broken.toml", "not TOML"),
        ("file:half.toml", "no key 'secret_key'"),
        ("file:odd.toml", "no key 'access_key'"),
        ("vault:kv/x", "not supported yet"),
    ],
)
def test_access_keys_that_are_not_there(tmp_path: Path, reference: str, word: str) -> None:
    for name, text in (
        ("broken", "t0p"),
        ("half", 'access_key = "t0p"'),
        ("odd", 'access_key = ["t0p"]\nsecret_key = "t0p"'),
    ):
        (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, f'[backend.disk]\npath = "p"\nkeys = "{reference}"\n', env={"HALF_ACCESS_KEY": "me"})
    assert caught.value.path == ("backend", "disk", "keys")
    assert word in caught.value.reason
    assert "t0p" not in str(caught.value)


@pytest.mark.parametrize(
    ("reference", "word"),
    [
        ("hunter2", "not the secret itself"),
        ("env:MISSING", "no variable 'MISSING'"),
        ("file:missing", "No such file"),
        ("file:latin", "not UTF-8"),
        ("file:", "not a path"),
        ("vault:kv/x", "not supported yet"),
    ],
)
def test_a_reference_that_leads_nowhere(tmp_path: Path, reference: str, word: str) -> None:
    (tmp_path / "latin").write_bytes(b"\xff\xfe")
    error = refuse(tmp_path, f'[backend.disk]\npath = "p"\ncredentials = "{reference}"\n')
    assert error.path == ("backend", "disk", "credentials")
    assert error.line == 3
    assert word in error.reason
    assert "hunter2" not in str(error)


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("c.toml", b"listen = \n", "not TOML"),
        ("c.toml", b"\xff\xfe", "not UTF-8"),
        ("c.toml", b"a = 1\na = 2\n", "not TOML"),
        ("c.toml", b"", "no [backend.NAME]"),
        ("c.json", b"{", "not JSON"),
        ("c.json", b"[]", "not a table"),
        ("c.json", b"[" * 100_000, "nested too deeply"),
        ("c.json", b'{"frontend": ' + b'{"a":' * 500 + b"1" + b"}" * 501, "nested too deeply"),
        ("c.toml", b"a = " + b"[" * 100_000, "nested too deeply"),
        ("c.yaml", b"a: [", "not YAML"),
        ("c.yaml", b"- 1", "not a table"),
        ("c.yaml", b"1: 2", "keys are text"),
        ("c.yaml", b"frontend: &a\n  x: *a\n", "nested too deeply"),
        ("c.yaml", b"!!python/object/apply:os.getcwd []", "not YAML"),
        ("c.ini", b"[a]", "must end in"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, name: str, content: bytes, word: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load([path], {}, drivers=DRIVERS, exporters=EXPORTERS, doors=DOORS)
    assert caught.value.source == str(path)
    assert word in caught.value.reason


def test_a_missing_file_and_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load([tmp_path / "none.toml"], {}, drivers=DRIVERS, exporters=EXPORTERS, doors=DOORS)
    with pytest.raises(ConfigError, match="no file to read"):
        load([tmp_path], {}, drivers=DRIVERS, exporters=EXPORTERS, doors=DOORS)


@pytest.mark.parametrize(
    ("env", "source", "word"),
    [
        ({"GATEWAY__LISTN": "x"}, "environment", "unknown key"),
        ({"GATEWAY__BACKEND__MEMORY__SIZE": "big"}, "environment", "Expected `int`"),
        ({"GATEWAY__BACKEND__MEMORY__SIZE": "1\nfast = true"}, "environment", "Expected `int`"),
        ({"GATEWAY__BACKEND__MEMORY__FAST": "2001-01-01"}, "environment", "Expected `bool`"),
        ({"GATEWAY__TLS": "x", "GATEWAY__TLS__KEY": "y"}, "environment variable GATEWAY__TLS__KEY", "part of its name"),
        ({"GATEWAY____X": "x"}, "environment variable GATEWAY____X", "empty part"),
    ],
)
def test_bad_environment(tmp_path: Path, env: dict[str, str], source: str, word: str) -> None:
    error = refuse(tmp_path, MINIMAL, env=env)
    assert error.source == source
    assert word in error.reason


def test_the_last_file_that_sets_a_wrong_value_is_named(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/a.toml").write_text("\n\n[limits]\nmax_connections = -1\n")
    error = refuse(tmp_path, MINIMAL + "[limits]\nmax_connections = 1\n")
    assert (error.source, error.line) == (str(tmp_path / "conf.d/a.toml"), 4)


def test_schema_describes_the_file() -> None:
    described = schema(drivers=DRIVERS, exporters=EXPORTERS, doors=DOORS)
    definitions = described["$defs"]
    assert described["required"] == ["backend"]
    assert described["additionalProperties"] is False
    assert described["properties"]["backend"]["properties"]["disk"] == {"$ref": "#/$defs/DiskOptions"}
    assert definitions["DiskOptions"]["required"] == ["path"]
    assert set(definitions["MemoryOptions"]["properties"]) == {"driver", "disable", "size", "fast"}
    assert described["properties"]["export"]["properties"]["nfs"] == {"$ref": "#/$defs/NfsOptions"}
    assert "BackendSettings" not in definitions
    msgspec.json.encode(described)


SECRET_ISSUER = '[auth.issuer.own]\nissuer = "openstorage.io"\nshared_secret = "env:JWT"\n'
OPENID_ISSUER = '[auth.issuer.idp]\nissuer = "https://idp.example/realm"\nclient_id = "gateway"\n'


def test_issuers_of_tokens(tmp_path: Path) -> None:
    text = f'{MINIMAL}{SECRET_ISSUER}rsa_public_key = "keys/rsa.pem"\nusername_claim = "email"\n{OPENID_ISSUER}'
    issuers = read(tmp_path, text, env={"JWT": "a secret"}).auth.issuer
    own, idp = issuers["own"], issuers["idp"]
    assert (own.openid, own.shared_secret, own.username_claim) == (False, Secret("a secret"), UsernameClaim.EMAIL)
    assert own.rsa_public_key == tmp_path / "keys/rsa.pem"
    assert (idp.openid, idp.client_id, idp.skip_client_id_check) == (True, "gateway", False)
    assert "a secret" not in repr(issuers)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[auth.issuer.a]\nissuer = ""\nshared_secret = "env:JWT"\n', "must not be empty"),
        ('[auth.issuer.a]\nissuer = "a"\n', "needs shared_secret"),
        ('[auth.issuer.a]\nissuer = "a"\nshared_secret = "plain"\n', "must be a reference"),
        ('[auth.issuer.a]\nissuer = "a"\nshared_secret = "env:JWT"\nclient_id = "x"\n', "with an address"),
        (f'{SECRET_ISSUER}[auth.issuer.b]\nissuer = "openstorage.io"\nshared_secret = "env:JWT"\n', "is there twice"),
        ('[auth.issuer.a]\nissuer = "https://idp.example"\n', "client_id"),
        (f'{OPENID_ISSUER}shared_secret = "env:JWT"\n', "tells its keys itself"),
        ('[auth.issuer.a]\nissuer = "http://idp.example"\nclient_id = "x"\n', "https"),
        ('[auth.issuer.a]\nissuer = "HTTP://idp.example"\nshared_secret = "env:JWT"\n', "tells its keys itself"),
        ('[auth.issuer.a]\nissuer = "https://"\nclient_id = "x"\n', "https"),
        ('[auth.issuer.a]\nissuer = "a"\nshared_secret = "env:JWT"\nusername_claim = "uid"\n', "uid"),
        ('[auth.issuer.a]\nissuer = "a"\nsecret = "env:JWT"\n', "secret"),
        ("[auth.issuers.a]\n", "issuers"),
    ],
)
def test_issuers_that_are_no_good(tmp_path: Path, text: str, words: str) -> None:
    error = refuse(tmp_path, MINIMAL + text, env={"JWT": "hunter2"})
    assert words in str(error)
    assert "hunter2" not in str(error)


def test_an_openid_issuer_on_this_machine_may_be_plain(tmp_path: Path) -> None:
    text = '[auth.issuer.a]\nissuer = "http://127.0.0.1:8080/realm"\nskip_client_id_check = true\n'
    assert read(tmp_path, MINIMAL + text).auth.issuer["a"].openid


def test_the_schema_describes_issuers() -> None:
    described = schema(drivers=DRIVERS, exporters=EXPORTERS, doors=DOORS)["$defs"]["IssuerSettings"]
    assert described["properties"]["shared_secret"]["anyOf"] == [{"type": "string"}, {"type": "null"}]
    assert described["required"] == ["issuer"]
