"""The Docker door's pure parts: options, error texts, users of mounts, settings."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from gateway.config import ConfigError, load
from gateway.core import errors
from gateway.core.model import VolumeKind
from gateway.frontends.docker import wanted as options
from gateway.frontends.docker.errors import TEXTS, text_of
from gateway.frontends.docker.placing import formats_of
from gateway.frontends.docker.plugin import CALLS
from gateway.frontends.docker.settings import DockerOptions
from gateway.frontends.docker.site import Site, is_user
from gateway.frontends.docker.wanted import Kept, Wanted, name_of, wanted
from gateway.frontends.kinds import KindChoice
from gateway.frontends.openstorage.spec.options import OPTIONS
from gateway.server.docker import docker_options
from gateway.server.drivers import DOORS, EXPORTERS, driver_options

GIB = 1 << 30
BOOT = "0123456789abcdef" * 2


def test_a_name_string_counts_before_the_map() -> None:
    found = wanted(
        "name=v,size=1G,pool=fast,kind=block,fs=xfsv2,from=a@b,shared=true,mount_options=noatime;ro,labels=a:b",
        {"size": "2G", "pool": "slow", "tenant": "t", "team": "x"},
    )
    assert found == Wanted(
        name="v",
        size=GIB,
        pool="fast",
        tenant="t",
        kind=KindChoice.BLOCK,
        source="a@b",
        shared=True,
        labels={"a": "b", "team": "x"},
        kept=Kept(format="xfs", mount_options={"noatime": "", "ro": ""}),
    )


def test_a_plain_name_is_what_it_is() -> None:
    assert wanted("my volume, size", {}) == Wanted(name="my volume, size")
    assert name_of("my volume, size") == "my volume, size"
    assert name_of("size=1G,pool=p,name=v") == "v"


@pytest.mark.parametrize(
    "label",
    [
        {"os": "linux"},
        {"tool": "git"},
        {"side": "left"},
        {"kin": "block?"},
        {"room": "12"},
        {"nodes2": "a"},
        {"pools": "x"},
    ],
)
def test_labels_that_only_resemble_an_option_are_labels(label: dict[str, str]) -> None:
    assert wanted("v", label, pools={"fast"}, tenants={"svm1"}).labels == label


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"sise": "1G"}, "size"),
        ({"SIZE": "1G"}, "size"),
        ({"pools": "fast"}, "pool"),
        ({"tenants": "svm1"}, "tenant"),
        ({"kinds": "BLOCK"}, "kind"),
        ({"From": "x"}, "from"),
        ({"FS": "x"}, "fs"),
    ],
)
def test_a_misspelt_option_is_told(written: dict[str, str], meant: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="is no option") as caught:
        wanted("v", written, pools={"fast"}, tenants={"svm1"})
    assert f"did you mean '{meant}'" in str(caught.value.reason)
    ((key, value),) = written.items()
    assert wanted("v", {"labels": f"{key}={value}"}).labels == written


SAID = {
    "secret_key": "x",
    "snap_schedule": "daily=12:00",
    "snap_interval": "5",
    "repl": "2",
    "storagepolicy": "gold",
    "createoptions": "-m 0",
    "export": "nfs",
    "export_options": "rw",
    "sharedv4_mount_options": "a=b",
    "sharedv4_svc_name": "x",
    "sharedv4_svc_type": "NodePort",
    "sharedv4_failover_strategy": "normal",
    "backend": "nfs",
    "proxy_endpoint": "nfs://x",
    "proxy_nfs_subpath": "x",
    "proxy_nfs_exportpath": "x",
    "pure_fa_pod_name": "x",
    "pure_export_rules": "x",
    "pure_nfs_endpoint": "x",
}


@pytest.mark.parametrize("name", options._REFUSED)
def test_what_no_pool_can_do_is_refused(name: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="cannot be had") as caught:
        wanted("v", {name: SAID.get(name, "true")})
    assert caught.value.field in {name, "backend"}


def test_not_wanting_it_is_no_wish() -> None:
    said = {"secure": "false", "sticky": "0", "sharedv4": "F", "repl": "1", "storagepolicy": ""}
    assert wanted("v", said) == Wanted(name="v")


def test_wishes_are_kept_as_they_are_said_and_no_secret_is() -> None:
    found = wanted("v", {"priority_io": "high", "compressed": "true", "nodes": "a;b", "size": "1", "fs": "ext4"})
    assert found.kept.wishes == {"io_priority": "high", "compressed": "true", "nodes": "a,b"}
    assert Kept.of({options.SPEC: found.kept.text()}) == found.kept
    assert Kept.of({}) == Kept()
    secret = {name for name, option in OPTIONS.items() if option.secret}
    assert secret <= set(options._REFUSED)


@pytest.mark.parametrize("kind", errors.tree().values(), ids=lambda kind: kind.__name__)
def test_every_error_has_a_text_without_holes(kind: type[errors.GatewayError]) -> None:
    text = text_of(kind(**dict.fromkeys(kind.names, "x")))
    assert text
    assert "None" not in text
    assert set(TEXTS) == set(errors.tree().values())


def test_a_volume_deleted_meanwhile_is_said_to_be() -> None:
    error = errors.InvalidState(kind="volume", ref="retired.abc", state="retired", action="change")
    assert text_of(error) == "volume has been deleted"


def test_a_long_text_is_cut() -> None:
    assert len(text_of(errors.InvalidArgument(field="f", reason="x" * 10_000))) == 500


def site(boot: str = BOOT) -> Site:
    return Site(options=DockerOptions(), tenants=("svm1",), mounts=Path("/mnt"), node="here", boot=boot)


def test_users_are_of_a_boot_and_have_short_names() -> None:
    user = site().user("caller" * 1000)
    assert len(user) == 41
    assert is_user(user)
    assert user != site().user("another")
    assert user.startswith("01234567/")
    assert not site().gone()(user)
    assert site(boot="f" * 32).gone()(user)


@pytest.mark.parametrize("stranger", ["", "pod-1", "01234567", "g1234567/" + "0" * 32])
def test_users_of_other_doors_are_left_alone(stranger: str) -> None:
    assert not is_user(stranger)
    assert not site(boot="f" * 32).gone()(stranger)


def test_formats() -> None:
    assert formats_of("btrfs", VolumeKind.FILESYSTEM) == {"btrfs"}
    assert formats_of("directory", VolumeKind.FILESYSTEM) == {"vfs"}
    assert formats_of("directory", VolumeKind.BLOCK) == {"ext4", "xfs", "btrfs"}


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"name": "a/b"}, "name: "),
        ({"tenants": ["a", "a"]}, "tenants: "),
        ({"socket": "relative.sock"}, "socket: "),
        ({"default_size": "x"}, "default_size: "),
        ({"default_size": "0"}, "default_size: "),
        ({"client_key": "k"}, "client_certificate: "),
        ({"scope": "world"}, "scope"),
    ],
)
def test_options_that_cannot_be(wrong: dict[str, object], text: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=text):
        msgspec.convert(wrong, DockerOptions, dec_hook=lambda kind, value: kind(value))


MOUNTS = '[export.mounts]\npaths = ["/srv/volumes"]\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[frontend.docker]\n", r"mounts: there is no \[export.mounts\]"),
        (f'{MOUNTS}[frontend.docker]\nmounts = "/mnt"\n', "mounts: /mnt is not below"),
        (f'{MOUNTS}[frontend.docker]\nmounts = "/srv/volumes/../x"\n', "mounts: /srv/volumes/../x is not below"),
        (f'{MOUNTS}[frontend.docker]\nsocket = ""\n', "listen: there is no socket either"),
        (f'{MOUNTS}[frontend.docker]\ndiscovery = "/etc/docker/plugins"\n', "discovery: is for an address"),
        (f'{MOUNTS}[frontend.docker]\nlisten = "nowhere"\n', "listen: "),
        (f'{MOUNTS}[frontend.docker]\nlisten = "0.0.0.0:1"\nanonymous = true\n', "but tls is off"),
        (f'{MOUNTS}[frontend.docker]\nlisten = "0.0.0.0:1"\ntls = true\n', "but no tls.client_ca says who"),
    ],
)
def test_a_configuration_that_cannot_be(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=f"frontend.docker.{problem}" if ": " in problem else problem):
        docker_options(configured(tmp_path, text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"{MOUNTS}[frontend.docker]\n",
        f'{MOUNTS}[frontend.docker]\nmounts = "/srv/volumes/docker"\n',
        f'{MOUNTS}[frontend.docker]\nlisten = "127.0.0.1:0"\ndiscovery = "/etc/docker/plugins"\n',
        f'{MOUNTS}[frontend.docker]\nlisten = "0.0.0.0:1"\ntls = true\nanonymous = true\n',
        f'{MOUNTS}[tls]\nclient_ca = "ca.pem"\n[frontend.docker]\nlisten = "0.0.0.0:1"\ntls = true\n',
    ],
)
def test_a_configuration_that_can_be(tmp_path: Path, text: str) -> None:
    options = docker_options(configured(tmp_path, text))
    assert (options is None) == (text == "")


def configured(folder: Path, text: str):
    path = folder / "config.toml"
    path.write_text(f"[backend.memory]\n{text}")
    return load([path], {}, drivers=driver_options(), exporters=EXPORTERS, doors=DOORS)


def test_every_option_and_call_is_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs/docker.md").read_text()
    for name in DockerOptions.__struct_fields__:
        assert f"`{name}`" in page
    for name in options.OWN:
        assert f"`{name}`" in page
    for call in CALLS:
        assert f"`{call}`" in page or f"`{call.rpartition('.')[2]}`" in page
