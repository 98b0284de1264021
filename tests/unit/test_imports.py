"""The walls of the house: who may import whom."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "gateway"

DOOR = frozenset(
    {
        "core",
        "frontends.handles",
        "frontends.kinds",
        "frontends.memory",
        "frontends.receive",
        "frontends.routing",
        "frontends.words",
    }
)
"""What every door may import."""

MAY_IMPORT: Mapping[str, frozenset[str]] = {
    "core": frozenset(),
    "catalog": frozenset({"core"}),
    "backends": frozenset({"core"}),
    "backends.s3": frozenset({"core"}),
    "backends.ontap": frozenset({"core", "client"}),
    "exports": frozenset({"core"}),
    "frontends": DOOR,
    "frontends.docker": DOOR | {"frontends.openstorage.spec"},
    "frontends.openstorage": DOOR | {"frontends.openstorage.spec"},
    "frontends.openstorage.spec": frozenset({"core"}),
    "frontends.cinder_driver": frozenset({"core", "client", "frontends.openstack"}),
    "frontends.manila_driver": frozenset({"core", "client", "frontends.openstack"}),
    "frontends.openstack": frozenset({"core", "client", "config"}),
    "mover": frozenset({"core", "backends.s3"}),
    "peering": frozenset({"core", "frontends.receive"}),
    "client": frozenset(),
    "config": frozenset({"core"}),
    "observe": frozenset({"core", "config"}),
    "testing": frozenset({"core", "catalog", "backends"}),
    "testing.live": frozenset({"core", "config", "server", "testing"}),
    "testing.kills": frozenset({"core", "server", "testing"}),
    "testing.ontap": frozenset({"core", "config", "frontends.ontap_rest", "testing"}),
    "testing.pages": frozenset(
        {
            "core",
            "frontends.cinder_driver",
            "frontends.native",
            "frontends.ontap_rest",
            "frontends.openstack",
            "frontends.openstorage",
            "server",
            "testing",
        }
    ),
    "server": frozenset(
        {"core", "catalog", "backends", "exports", "frontends", "mover", "peering", "client", "config", "observe"}
    ),
    "cli": frozenset({"core", "client", "config", "observe", "server"}),
    "embedded": frozenset({"config", "observe", "server"}),
    "__main__": frozenset({"cli"}),
    "__init__": frozenset(),
}
"""Part of the package -> the other parts that it may import. Every part may import itself."""

CORE_LIBRARIES = frozenset({"msgspec"})


def part_of(module: str) -> str:
    """Give the part that a dotted module below `gateway` belongs to; every dialect is a part of its own."""
    names = module.split(".")
    pair, triple = ".".join(names[1:3]), ".".join(names[1:4])
    if triple in MAY_IMPORT:
        return triple
    return pair if pair in MAY_IMPORT or (names[1] == "frontends" and len(names) > 2) else names[1]


def first(part: str) -> str:
    return part.partition(".")[0]


def allowed(part: str) -> frozenset[str]:
    return MAY_IMPORT.get(part, MAY_IMPORT[first(part)]) | {part}


def imported(source: str, module: str, *, package: bool) -> Iterator[str]:
    """Yield every module that the source names in an import, wherever it stands."""
    here = module.split(".") if package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = (
                [*here[: len(here) - node.level + 1], *filter(None, [node.module])]
                if node.level
                else [node.module or ""]
            )
            name = ".".join(base)
            # `from gateway import core` names the part in the second half.
            yield from (f"{name}.{alias.name}" for alias in node.names) if name == "gateway" else [name]


def trespasses(source: str, module: str, *, package: bool = False) -> list[str]:
    """Give the imports that the walls forbid."""
    part = part_of(module)
    found = []
    for name in imported(source, module, package=package):
        top, _, rest = name.partition(".")
        if top == "gateway":
            target = part_of(name) if rest else ""
            if rest and rest != "__version__" and allowed(part).isdisjoint({target, first(target)}):
                found.append(name)
        elif part == "core" and top not in sys.stdlib_module_names | CORE_LIBRARIES:
            found.append(name)
    return found


def modules() -> list[tuple[str, Path]]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        names = ["gateway", *path.relative_to(PACKAGE).with_suffix("").parts]
        if names[-1] == "__init__" and len(names) > 2:
            names.pop()
        found.append((".".join(names), path))
    return found


@pytest.mark.parametrize(("module", "path"), [pytest.param(*each, id=each[0]) for each in modules()])
def test_no_module_climbs_a_wall(module: str, path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert trespasses(source, module, package=path.name == "__init__.py") == []


def test_every_part_has_its_rule() -> None:
    parts = {
        path.stem if path.is_file() else path.name for path in PACKAGE.iterdir() if not path.name.startswith("__pyc")
    }
    assert parts - {"py"} <= set(MAY_IMPORT)


@pytest.mark.parametrize(
    ("module", "source", "wrong"),
    [
        ("gateway.core.x", "from gateway.catalog import a", ["gateway.catalog"]),
        ("gateway.core.x", "from gateway import server", ["gateway.server"]),
        ("gateway.core.x", "def f():\n    import gateway.backends.memory", ["gateway.backends.memory"]),
        ("gateway.core.x", "from ..catalog import a", ["gateway.catalog"]),
        ("gateway.core.x", "from .model import a\nfrom . import b", []),
        ("gateway.core.x", "import aiohttp, msgspec, asyncio", ["aiohttp"]),
        ("gateway.core.x", "from gateway import __version__", []),
        ("gateway.backends.x", "from gateway.config import a", ["gateway.config"]),
        ("gateway.backends.btrfs.x", "from gateway.backends.memory import a", []),
        ("gateway.frontends.a.x", "from gateway.frontends.b import c", ["gateway.frontends.b"]),
        ("gateway.frontends.a.x", "from gateway.frontends.a.y import c", []),
        ("gateway.frontends.a.x", "from gateway.frontends.memory import c", []),
        ("gateway.frontends.cinder_driver.x", "from gateway.client import c", []),
        ("gateway.frontends.docker.x", "from gateway.frontends.openstorage.spec import c", []),
        (
            "gateway.frontends.docker.x",
            "from gateway.frontends.openstorage.site import c",
            ["gateway.frontends.openstorage.site"],
        ),
        (
            "gateway.frontends.openstorage.spec.x",
            "from gateway.frontends.openstorage.site import c",
            ["gateway.frontends.openstorage.site"],
        ),
        ("gateway.client.x", "from gateway.core import errors", ["gateway.core"]),
        ("gateway.testing.x", "from gateway.server.app import a", ["gateway.server.app"]),
        ("gateway.server.x", "from gateway.cli import a", ["gateway.cli"]),
    ],
)
def test_the_rule_sees_trespassers(module: str, source: str, wrong: list[str]) -> None:
    assert trespasses(source, module) == wrong
