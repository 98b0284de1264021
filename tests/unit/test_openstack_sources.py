from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from oslo_config import cfg, types

OPTIONS: tuple[cfg.Opt, ...] = (
    cfg.StrOpt("url"),
    cfg.StrOpt("password", secret=True),
    cfg.StrOpt("home", default="/srv"),
    cfg.StrOpt("level", choices=["low", "high"]),
    cfg.IntOpt("count", default=1, min=1),
    cfg.IntOpt("token", secret=True),
    cfg.PortOpt("port"),
    cfg.FloatOpt("ratio"),
    cfg.BoolOpt("fast", default=False),
    cfg.ListOpt("pools"),
    cfg.ListOpt("ports", item_type=types.Port()),
    cfg.DictOpt("notes"),
    cfg.MultiStrOpt("place"),
    cfg.MultiOpt("device", item_type=types.Dict()),
    cfg.URIOpt("link"),
    cfg.Opt("odd", type=int),
    cfg.StrOpt("fresh", deprecated_opts=[cfg.DeprecatedOpt("stale"), cfg.DeprecatedOpt("rotten", group="old")]),
)


def configured(folder: Path, *paths: str, ini: str = "", args: Sequence[str] = ()) -> cfg.ConfigOpts:
    """Give what a service has after its start, with a source of these files."""
    lines = "".join(f"path = {folder / path}\n" for path in paths)
    file = folder / "service.conf"
    file.write_text(f"[DEFAULT]\nconfig_source = site\n[site]\ndriver = gateway\n{lines}\n{ini}\n")
    conf = cfg.ConfigOpts()
    conf.register_cli_opt(cfg.BoolOpt("debug", default=False))
    conf.register_opts(OPTIONS, "backend")
    conf.register_opts(OPTIONS)
    conf(["--config-file", str(file), *args], project="service")
    return conf


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return name


WHOLE = {
    "site.toml": """
[DEFAULT]
debug = true
url = "of all"

[backend]
url = "https://a"
count = 3
port = 8443
ratio = 2
fast = true
pools = ["a", "b"]
ports = [1, "2"]
notes = { a = "x", b = 5 }
place = ["/a", "/b,c"]

[[backend.device]]
target_device_id = "one"
port = 5

[[backend.device]]
target_device_id = "two"
""",
    "site.json": """{
"DEFAULT": {"debug": true, "url": "of all"},
"backend": {"url": "https://a", "count": 3, "port": 8443, "ratio": 2, "fast": true, "pools": ["a", "b"],
"ports": [1, "2"], "notes": {"a": "x", "b": 5}, "place": ["/a", "/b,c"],
"device": [{"target_device_id": "one", "port": 5}, {"target_device_id": "two"}], "home": null}}
""",
    "site.yaml": """
DEFAULT: {debug: yes, url: of all}
Backend:
  url: https://a
  count: 3
  port: 8443
  ratio: 2
  fast: yes
  pools: [a, b]
  ports: [1, "2"]
  notes: {a: x, b: 5}
  place: [/a, "/b,c"]
  device:
    - {target_device_id: one, port: 5}
    - {target_device_id: two}
  home:
""",
}


@pytest.mark.parametrize("name", WHOLE)
def test_values_are_what_their_options_take(tmp_path: Path, name: str) -> None:
    conf = configured(tmp_path, write(tmp_path, name, WHOLE[name]))
    backend = conf.backend
    assert (conf.debug, conf.url, conf.count) == (True, "of all", 1)
    assert (backend.url, backend.count, backend.port, backend.ratio, backend.fast) == ("https://a", 3, 8443, 2, True)
    assert (backend.pools, backend.ports, backend.notes) == (["a", "b"], [1, 2], {"a": "x", "b": "5"})
    assert backend.place == ["/a", "/b,c"]
    assert backend.device == [{"target_device_id": "one", "port": "5"}, {"target_device_id": "two"}]
    assert (backend.home, backend.password) == ("/srv", None)
    assert conf.get_location("url", "backend") == (cfg.Locations.user, str(tmp_path / name))


def test_texts_are_read_as_in_a_configuration_file(tmp_path: Path) -> None:
    name = write(
        tmp_path, "s.toml", '[backend]\npools = "a, b"\nnotes = "a:1,b:2"\ncount = "7"\nplace = "/a"\nodd = 7\n'
    )
    backend = configured(tmp_path, name).backend
    assert (backend.pools, backend.notes, backend.count) == (["a", "b"], {"a": "1", "b": "2"}, 7)
    assert (backend.place, backend.odd) == (["/a"], 7)


def test_other_options_are_filled_in(tmp_path: Path) -> None:
    name = write(
        tmp_path, "s.toml", '[backend]\nurl = "$home/x"\nport = "$count"\npassword = "a$$b"\npools = ["$home"]\n'
    )
    backend = configured(tmp_path, name).backend
    assert (backend.url, backend.port, backend.password, backend.pools) == ("/srv/x", 1, "a$b", ["/srv"])


def test_files_and_folders_are_merged_in_their_order(tmp_path: Path) -> None:
    write(tmp_path, "a.toml", '[backend]\nurl = "a"\ncount = 1\npools = ["a", "b"]\nnotes = { a = "1", b = "1" }\n')
    write(tmp_path, "conf.d/10.json", '{"backend": {"count": 2, "port": 2}}')
    write(tmp_path, "conf.d/20.yaml", "BACKEND: {port: 3, notes: {b: '2'}}")
    write(tmp_path, "conf.d/README", "not read")
    write(tmp_path, "more/x.toml", "[backend]\npools = []\n")
    conf = configured(tmp_path, "a.toml", "more")
    backend = conf.backend
    assert (backend.url, backend.count, backend.port, backend.pools) == ("a", 2, 3, [])
    assert backend.notes == {"a": "1", "b": "2"}
    assert conf.get_location("port", "backend").detail == str(tmp_path / "conf.d/20.yaml")
    assert conf.get_location("count", "backend").detail == str(tmp_path / "conf.d/10.json")


def test_whatever_else_says_a_value_wins_except_a_default(tmp_path: Path) -> None:
    name = write(tmp_path, "s.toml", '[DEFAULT]\ndebug = true\n[backend]\nurl = "s"\nlevel = "low"\ncount = 5\n')
    conf = configured(tmp_path, name, ini="[backend]\nurl = file", args=["--nodebug"])
    conf.set_default("level", "high", group="backend")
    assert (conf.backend.url, conf.backend.level, conf.backend.count, conf.debug) == ("file", "low", 5, False)


def test_the_first_of_several_sources_wins(tmp_path: Path) -> None:
    write(tmp_path, "a.toml", "[backend]\ncount = 2\n")
    write(tmp_path, "b.toml", "[backend]\ncount = 3\nport = 3\n")
    more = f"[DEFAULT]\nconfig_source = site,more\n[more]\ndriver = gateway\npath = {tmp_path}/b.toml"
    conf = configured(tmp_path, "a.toml", ini=more)
    assert (conf.backend.count, conf.backend.port) == (2, 3)


def test_an_option_is_found_by_its_old_names(tmp_path: Path) -> None:
    assert configured(tmp_path, write(tmp_path, "a.toml", '[backend]\nstale = "a"\n')).backend.fresh == "a"
    assert configured(tmp_path, write(tmp_path, "b.toml", '[old]\nrotten = "b"\n')).backend.fresh == "b"
    assert configured(tmp_path, write(tmp_path, "c.toml", '[backend]\nstale = "a"\nfresh = "c"\n')).backend.fresh == "c"


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("url = true", "true is no string value; a text is written in quotes"),
        ("url = 1.10", "1.1 is no string value; a text is written in quotes"),
        ("url = 2026-01-01", "a date is no string value"),
        ('url = ["a"]', "a list is no string value"),
        ("count = true", "true is no integer value"),
        ("count = 1.5", "1.5 is no integer value"),
        ('count = "many"', "many"),
        ("count = 0", "greater than or equal to 1"),
        ("port = 70000", "65535"),
        ("ratio = false", "false is no floating point value"),
        ("fast = 5", "Unexpected boolean value"),
        ('level = "middle"', "low"),
        ("pools = { a = 1 }", "a table is no list value"),
        ("ports = [1, true]", "true is no port"),
        ('notes = ["a"]', "a list is no dict value"),
        ('link = "no link"', "link"),
        ("odd = true", "true is no value of this option"),
    ],
)
def test_a_value_of_the_wrong_type_names_its_place(tmp_path: Path, line: str, wrong: str) -> None:
    conf = configured(tmp_path, write(tmp_path, "s.toml", f"# first\n[backend]\n{line}\n"))
    name = line.partition(" ")[0]
    with pytest.raises(cfg.ConfigSourceValueError) as caught:
        conf.backend[name]
    assert str(caught.value).startswith(f"{tmp_path}/s.toml:3: backend.{name}: ")
    assert wrong in str(caught.value)


def test_a_secret_of_the_wrong_type_is_not_told(tmp_path: Path) -> None:
    conf = configured(tmp_path, write(tmp_path, "s.json", '{"backend": {"token": "hunter2"}}'))
    with pytest.raises(cfg.ConfigSourceValueError) as caught:
        _ = conf.backend.token
    assert str(caught.value) == f"{tmp_path}/s.json: backend.token: is no integer value"


@pytest.mark.parametrize(
    ("name", "text", "wrong"),
    [
        ("s.toml", "[backend]\npassword = hunter2", "s.toml: is not TOML: Invalid value (at line 2"),
        ("s.json", '{"backend": {"password": "hunter2}}', "s.json: is not JSON"),
        ("s.yaml", 'backend: {password: "hunter2\n', "s.yaml: is not YAML: found unexpected end of stream (at line 2"),
        (
            "s.yaml",
            "backend:\n  password: *hunter2\n",
            "s.yaml: is not YAML: cannot be understood (at line 2, column 13)",
        ),
        (
            "s.yaml",
            "backend:\n  password: !hunter2\n",
            "s.yaml: is not YAML: cannot be understood (at line 2, column 13)",
        ),
        ("s.toml", 'debug = true\npassword = "hunter2"', "s.toml:1: debug: is in no group"),
        ("s.toml", '[[backend]]\npassword = "hunter2"', "backend: is in no group"),
        ("s.ini", "[backend]\npassword = hunter2", "the name must end in one of .toml, .json, .yaml, .yml"),
    ],
)
def test_a_source_that_cannot_be_read_answers_nothing(tmp_path: Path, name: str, text: str, wrong: str) -> None:
    conf = configured(tmp_path, write(tmp_path, name, text), ini="[backend]\nurl = file")
    assert conf.backend.url == "file"
    for option in ("count", "home"):
        with pytest.raises(cfg.ConfigSourceValueError) as caught:
            conf.backend[option]
        assert wrong in str(caught.value)
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("paths", "wrong"),
    [
        ((), "config_source site: site.path: no file is named"),
        (("/absent.toml",), "/absent.toml: cannot be read: No such file or directory"),
        (("a.toml",), "site.path: 'a.toml' is no absolute path"),
    ],
)
def test_a_source_without_its_files_answers_nothing(tmp_path: Path, paths: tuple[str, ...], wrong: str) -> None:
    conf = configured(tmp_path, ini="[site]\n" + "".join(f"path = {path}\n" for path in paths))
    with pytest.raises(cfg.ConfigSourceValueError, match=r"^(config_source|/absent)") as caught:
        _ = conf.count
    assert wrong in str(caught.value)


def test_an_option_that_must_be_there_ends_the_start(tmp_path: Path) -> None:
    conf = cfg.ConfigOpts()
    conf.register_opt(cfg.StrOpt("needed", required=True))
    file = tmp_path / "service.conf"
    file.write_text("[DEFAULT]\nconfig_source = site\n[site]\ndriver = gateway\npath = /absent.toml\n")
    with pytest.raises(cfg.ConfigSourceValueError, match=r"/absent\.toml: cannot be read"):
        conf(["--config-file", str(file)], project="service")


def test_a_reload_changes_nothing(tmp_path: Path) -> None:
    conf = configured(tmp_path, write(tmp_path, "s.toml", "[backend]\ncount = 2\n"))
    assert conf.backend.count == 2
    write(tmp_path, "s.toml", "[backend]\ncount = 3\n")
    assert conf.reload_config_files()
    assert conf.backend.count == 2
