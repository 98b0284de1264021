"""The page of one driver."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
from msgspec import inspect

from gateway.core.backend import PROTOCOLS
from gateway.core.capability import FLAGS, NO_SUCH_OPERATION, OPERATIONS, Capability, Facts
from gateway.core.model import VolumeKind
from gateway.core.needs import Need, NeedKind
from gateway.server.drivers import Driver
from gateway.testing.pages.record import Record, options
from gateway.testing.pages.subjects import Subject, Table
from gateway.testing.pages.words import first_sentence, introduction, kind_of, meanings, toml

NOTES = "## Notes\n"
"""From here on a page is written by hand, and stays as it is."""

_HEAD = "<!-- Made by `make docs`. Only what stands under Notes is written by hand. -->\n"
_HANDLES: Mapping[str, str] = {
    "local_path": "a path on the gateway's host",
    "in_process": "nothing outside of the gateway's process",
    "nfs": "an NFS export",
    "iscsi": "an iSCSI target",
    "nbd": "an NBD export",
    "objects": "objects below a prefix of a bucket, by signed requests or by keys of the client's own",
    "git": "a git remote",
    "perforce": "a stream of a Perforce server",
}
_NEEDS: Mapping[NeedKind, str] = {
    NeedKind.CAPABILITY: "kernel capability",
    NeedKind.PROGRAM: "program",
    NeedKind.DEVICE: "device",
    NeedKind.WRITABLE: "writable directory",
    NeedKind.MOUNT: "a mount at",
    NeedKind.SHARED: "a shared mount at",
}
_BLOCK_MAX = 65_536
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def page(name: str, driver: Driver, subject: Subject, records: Mapping[str, Record], *, notes: str) -> str:
    """Give a driver's page. `notes` is what was written by hand."""
    parts = [
        _HEAD,
        f"# {name}\n",
        f"{introduction(driver)}\n",
        *_configuration(name, driver, subject.example),
        *_abilities(records),
        *_limits(records),
        *_access(records),
        *_needs(driver, subject.example),
        *([notes] if notes else []),
    ]
    return "\n".join(parts)


def notes_of(text: str) -> str:
    """Give what a page has that was written by hand."""
    _, mark, rest = text.partition(f"\n{NOTES}")
    return f"{NOTES}{rest}" if mark else ""


def rows(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Give a Markdown table."""
    lines = [header, ["---"] * len(header), *body]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)


def columns(records: Mapping[str, Record]) -> dict[str, Capability]:
    """Give the records per kind under their headings; instances that are alike share one."""
    found: dict[str, Capability] = {}
    for kind in VolumeKind:
        able = {title: record.kinds[kind] for title, record in records.items() if kind in record.kinds}
        if not able:
            continue
        if len({msgspec.json.encode(each, order="sorted") for each in able.values()}) == 1:
            found[kind.value] = next(iter(able.values()))
        else:
            found |= {f"{kind.value}, {title}": each for title, each in able.items()}
    return found


def _configuration(name: str, driver: Driver, example: Table) -> Iterator[str]:
    yield "## Configuration\n"
    yield "```toml"
    yield "[backend.pool1]"
    yield f"driver = {toml(name)}"
    yield from (f"{key} = {toml(value)}" for key, value in example.items())
    yield "```\n"
    yield rows(["option", "takes", "default", "meaning"], _options(driver.Options, ""))


def _options(record: type[msgspec.Struct], prefix: str) -> Iterator[Sequence[str]]:
    info = inspect.type_info(record)
    assert isinstance(info, inspect.StructType)
    said = meanings(record)
    for field in info.fields:
        default = "required" if field.required else _default(field)
        inner = next((each for each in _members(field.type) if isinstance(each, inspect.StructType)), None)
        kind = "table" if inner else kind_of(field.type)
        yield f"`{prefix}{field.encode_name}`", kind, default, said[field.name]
        if inner:
            yield from _options(inner.cls, f"{prefix}{field.encode_name}.")


def _members(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    return kind.types if isinstance(kind, inspect.UnionType) else (kind,)


def _default(field: inspect.Field) -> str:
    value = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    return "none" if value is None else f"`{toml(value)}`"


def _abilities(records: Mapping[str, Record]) -> Iterator[str]:
    able = columns(records)
    said = meanings(Facts)
    # Reason -> its number. Many abilities are absent for one reason.
    reasons: dict[str, int] = {}
    yield "## What it can do\n"
    yield rows(
        ["", "", *able],
        [
            *([f"`{name}`", _does(PROTOCOLS[name]), *_cells(able, name, reasons)] for name in OPERATIONS),
            *([f"`{name}`", said[name], *_cells(able, name, reasons)] for name in FLAGS),
        ],
    )
    if reasons:
        yield "".join(f"{number}. {reason}\n" for reason, number in reasons.items())
    volatile = any(record.volatile for record in records.values())
    yield f"Content {'is gone when the gateway ends' if volatile else 'survives a restart of the gateway'}.\n"


def _does(protocol: type) -> str:
    sentence = first_sentence(protocol).rstrip(".")
    return sentence[0].lower() + sentence[1:]


def _cells(able: Mapping[str, Capability], name: str, reasons: dict[str, int]) -> list[str]:
    return [_cell(each, name, reasons) for each in able.values()]


def _cell(able: Capability, name: str, reasons: dict[str, int]) -> str:
    if able.can(name):
        return "yes"
    reason = able.why_not.get(name, NO_SUCH_OPERATION)
    return "no" if reason == NO_SUCH_OPERATION else f"no ({reasons.setdefault(reason, len(reasons) + 1)})"


def _limits(records: Mapping[str, Record]) -> Iterator[str]:
    able = columns(records)
    yield "## Limits\n"
    yield rows(
        ["", *able],
        [
            ["smallest volume", *(_size(each.facts.size_min) for each in able.values())],
            ["largest volume", *(_size(each.facts.size_max) for each in able.values())],
            ["sizes are multiples of", *(_size(each.facts.size_step) for each in able.values())],
            ["snapshots of a volume", *(_count(each) for each in able.values())],
        ],
    )


def _size(size: int | None) -> str:
    if size is None:
        return "no limit known"
    power = max(range(len(_UNITS)), key=lambda power: (size % 1024**power == 0, power))
    # Just below a large one: what is left of an address space, less a block.
    above = next((each for each in range(len(_UNITS) - 1, power + 1, -1) if 0 < -size % 1024**each <= _BLOCK_MAX), None)
    if above is not None:
        return f"{-(-size // 1024**above)} {_UNITS[above]} less {_size(-size % 1024**above)}"
    return "1 byte" if size == 1 else f"{size // 1024**power} {_UNITS[power]}"


def _count(able: Capability) -> str:
    if "snapshot" not in able.operations:
        return "none"
    return "no limit known" if able.facts.snapshot_max is None else str(able.facts.snapshot_max)


def _access(records: Mapping[str, Record]) -> Iterator[str]:
    handles = dict.fromkeys(handle for record in records.values() for handle in record.handles)
    yield "## Access\n"
    yield f"A volume is reached by {' or '.join(_HANDLES[handle] for handle in handles)}.\n"


def _needs(driver: Driver, example: Table) -> Iterator[str]:
    stated = getattr(driver, "needs", None)
    needs: tuple[Need, ...] = stated(options(driver, example)) if stated else ()
    yield "## What it needs\n"
    if needs:
        yield rows(
            ["", "what for", "without it"],
            [
                [f"{_NEEDS[need.kind]} `{need.name}`", need.why, "the rest works" if need.optional else "no pool"]
                for need in needs
            ],
        )
    else:
        yield "Nothing.\n"
