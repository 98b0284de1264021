"""The words of the pages about pools: what docstrings, types and records become."""

from __future__ import annotations

import enum
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import inspect

from gateway.backends.memory import MemoryBackend
from gateway.core.backend import no_fault
from gateway.core.capability import Capability, Facts
from gateway.core.model import VolumeKind
from gateway.core.needs import device, program
from gateway.core.secret import Secret
from gateway.server.drivers import drivers
from gateway.testing.pages import SUBJECTS, Instance, Record, Subject, files, keep, kept, take
from gateway.testing.pages.page import columns, notes_of, page, rows
from gateway.testing.pages.record import options
from gateway.testing.pages.tree import BEGIN, END
from gateway.testing.pages.words import first_sentence, introduction, kind_of, meanings, toml


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Inner(msgspec.Struct, frozen=True, kw_only=True):
    """What is inside.

    key: a way to the key.
    """

    key: Secret


class Odd(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of an odd pool. `word` is said here. This says nothing.

    path: a directory; a relative one begins
        at the configuration file: there.
    inner, other: what is inside
    and goes on.

    tail: unknown names count as no field.
    """

    path: Path
    word: str = "x"
    other: int | None = None
    inner: Inner | None = None


class OddBackend(MemoryBackend):
    """Keeps odd things; see `gateway.odd.layout` for where. A second sentence (see `this`)."""

    Options = Odd  # type: ignore[assignment]

    @classmethod
    def needs(cls, options: Odd) -> tuple[object, ...]:
        return program("odd", f"keeps {options.path}"), device("/dev/odd", "shows", optional=True)


def test_a_docstring_loses_its_pointers_into_the_source() -> None:
    assert introduction(OddBackend) == "Keeps odd things. A second sentence."
    assert first_sentence(OddBackend) == "Keeps odd things."


def test_a_docstring_says_what_each_field_means() -> None:
    assert meanings(Odd) == {
        "path": "a directory; a relative one begins at the configuration file: there",
        "word": "`word` is said here",
        "other": "what is inside and goes on",
        "inner": "what is inside and goes on",
    }


def test_a_field_that_is_not_explained_is_refused() -> None:
    class Mute(msgspec.Struct):
        """Settings."""

        path: Path

    with pytest.raises(ValueError, match="Mute: its docstring does not say what 'path' means"):
        meanings(Mute)


@pytest.mark.parametrize("driver", SUBJECTS)
def test_every_example_makes_a_pool(driver: str) -> None:
    assert drivers()[driver]("pool1", options(drivers()[driver], SUBJECTS[driver].example), fault=no_fault)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (bool, "true or false"),
        (str, "text"),
        (float, "number"),
        (int, "whole number"),
        (Annotated[int, msgspec.Meta(ge=1)], "whole number, at least 1"),
        (Annotated[int, msgspec.Meta(ge=1, le=16)], "whole number, 1 to 16"),
        (Literal["a", "b", "c"], "`a`, `b` or `c`"),
        (Literal["a"], "`a`"),
        (Colour, "`blue` or `red`"),
        (Path | None, "path"),
        (int | str, "whole number or text"),
        (Secret, "`env:NAME` or `file:PATH`"),
        (tuple[str, ...], "list: text"),
        (dict[str, str], "table"),
        (Any, "anything"),
    ],
)
def test_what_an_option_takes(kind: Any, words: str) -> None:
    found = kind_of(inspect.type_info(kind))
    assert sorted(found.replace(",", " ,").split()) == sorted(words.replace(",", " ,").split())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (7, "7"),
        ('a"ä', '"a\\"ä"'),
        (Path("/x"), '"/x"'),
        (("a", 1), '["a", 1]'),
        ({"a": "b"}, '{ a = "b" }'),
    ],
)
def test_values_are_written_as_toml(value: object, text: str) -> None:
    assert toml(value) == text


def capability(kind: VolumeKind = VolumeKind.BLOCK, **facts: Any) -> Capability:
    return Capability(
        pool="odd",
        kind=kind,
        operations=frozenset({"snapshot", "resize"}),
        facts=Facts(**facts),
        why_not={"clone": "no reflink | here"},
    )


def record(*able: Capability) -> Record:
    return Record(handles=("local_path",), volatile=False, kinds={each.kind: each for each in able})


def test_instances_that_are_alike_share_a_column() -> None:
    files_, blocks = capability(VolumeKind.FILESYSTEM), capability()
    thick = capability(thick=True)
    assert list(columns({"on a": record(blocks, files_), "on b": record(files_, thick)})) == [
        "filesystem",
        "block, on a",
        "block, on b",
    ]
    assert list(columns({"on a": record(blocks), "on b": record(blocks)})) == ["block"]


def odd_page(notes: str = "", **facts: Any) -> str:
    subject = Subject(example={"path": "/srv/odd"}, instances={})
    return page("odd", OddBackend, subject, {"": record(capability(**facts))}, notes=notes)  # type: ignore[arg-type]


def test_a_page_has_options_abilities_limits_and_needs() -> None:
    text = odd_page(size_min=4096, size_max=2**40 - 1, size_step=512, snapshot_max=7, thick=True)
    assert '[backend.pool1]\ndriver = "odd"\npath = "/srv/odd"\n' in text
    for line in (
        '| `word` | text | `"x"` | `word` is said here |',
        "| `other` | whole number | none | what is inside and goes on |",
        "| `inner` | table | none | what is inside and goes on |",
        "| `inner.key` | `env:NAME` or `file:PATH` | required | a way to the key |",
        "| `resize` | changes a volume's size | yes |",
        "| `clone` | makes writable copies | no (1) |",
        "1. no reflink | here",
        "| `restore` | brings a snapshot's content back in place | no |",
        "| `thick` | volumes with reserved space can be made | yes |",
        "| smallest volume | 4 KiB |",
        "| largest volume | 1 TiB less 1 byte |",
        "| sizes are multiples of | 512 bytes |",
        "| snapshots of a volume | 7 |",
        "| program `odd` | keeps /srv/odd | no pool |",
        "| device `/dev/odd` | shows | the rest works |",
    ):
        assert line in text.splitlines(), line


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (1, "1 byte"),
        (512, "512 bytes"),
        (1536, "1536 bytes"),
        (65536, "64 KiB"),
        (5 * 2**40, "5 TiB"),
        (2**63 - 512, "8 EiB less 512 bytes"),
        (2**44 - 4096, "16 TiB less 4 KiB"),
        (2**40 - 2**30, "1023 GiB"),
        (None, "no limit known"),
    ],
)
def test_sizes_are_exact(size: int | None, words: str) -> None:
    assert f"| largest volume | {words} |" in odd_page(size_max=size)


def test_what_was_written_by_hand_stays() -> None:
    assert notes_of(odd_page()) == ""
    notes = "## Notes\n\nMine.\n\n## Notes\n\nToo.\n"
    assert notes_of(odd_page(notes)) == notes
    assert odd_page(notes).endswith("\n\n## Notes\n\nMine.\n\n## Notes\n\nToo.\n")


def test_a_record_survives_being_kept(tmp_path: Path) -> None:
    assert kept(tmp_path / "none") == {}
    records = {"on a": record(capability()), "on b": record(capability(VolumeKind.FILESYSTEM, thick=True))}
    keep(tmp_path / "odd.json", records)
    first = (tmp_path / "odd.json").read_bytes()
    assert kept(tmp_path / "odd.json") == records
    keep(tmp_path / "odd.json", dict(reversed(records.items())))
    assert (tmp_path / "odd.json").read_bytes() == first


@pytest.mark.parametrize("arguments", [["memory", "gateway.backends.memory:MemoryBackend"], ["memory"]])
def test_a_record_can_be_had_where_little_else_is(tmp_path: Path, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "gateway.testing.pages", *arguments, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if len(arguments) == 2:
        assert done.returncode == 0, done.stderr
        assert kept(tmp_path / "memory.json").keys() == {""}
    else:
        assert done.returncode == 1
        assert "NAME MODULE:CLASS FOLDER" in " ".join(done.stderr.split())


def test_an_instance_may_need_root_or_a_device(tmp_path: Path) -> None:
    opener = SUBJECTS["memory"].instances[""].opener
    assert not Instance(opener=opener).here(root=False)
    assert Instance(opener=opener, root=False).here(root=False)
    assert Instance(opener=opener, device=str(tmp_path)).here(root=True)
    assert not Instance(opener=opener, device=str(tmp_path / "none")).here(root=True)


def a_tree(root: Path, texts: Mapping[str, str]) -> Path:
    (root / "docs/backends").mkdir(parents=True)
    for name, text in texts.items():
        (root / name).write_text(text)
    return root


def test_a_tree_without_a_place_or_a_record_is_refused(tmp_path: Path) -> None:
    known: dict[str, Any] = dict.fromkeys(SUBJECTS, MemoryBackend)
    made = f"a\n{BEGIN}old\n{END}b\n"
    whole = dict.fromkeys(("README.md", "docs/native.md", "docs/openstack.md", "docs/openstorage.md"), made)
    root = a_tree(tmp_path, {**whole, "docs/backends.md": "nothing"})
    with pytest.raises(ValueError, match="no record of"):
        files(root, known)
    memory = take("memory", known["memory"], SUBJECTS["memory"].instances[""], tmp_path)
    for name, subject in SUBJECTS.items():
        keep(root / f"docs/backends/{name}.json", dict.fromkeys(subject.instances, memory))
    with pytest.raises(ValueError, match=r"backends.md has no place"):
        files(root, known)
    with pytest.raises(ValueError, match=r"no entry in SUBJECTS: odd"):
        files(root, {**known, "odd": OddBackend})  # type: ignore[dict-item]
    (root / "docs/backends.md").write_text(made)
    text = files(root, known)[root / "README.md"]
    assert text.startswith(f"a\n{BEGIN}\n|")
    assert text.endswith(f"|\n\n{END}b\n")


def test_cells_do_not_break_a_table() -> None:
    assert rows(["a", "b"], [["x|y", "z"]]) == "| a | b |\n| --- | --- |\n| x&#124;y | z |\n"
