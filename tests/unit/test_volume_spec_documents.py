"""Documents of volume specifications in JSON and YAML."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import InvalidArgument
from gateway.frontends.openstorage.spec import CosType, DocumentFormat, FsType, Parsed, VolumeSpec, load_documents

JSON, YAML = DocumentFormat.JSON, DocumentFormat.YAML
GIB = 1 << 30

WHOLE = Parsed(
    name="dbvol",
    spec=VolumeSpec(size=10 * GIB, format=FsType.XFS, block_size=4096, ha_level=2, cos=CosType.LOW),
    given=frozenset({"size", "fs", "block_size", "repl", "io_priority"}),
)


def test_a_document_in_json():
    text = '{"dbvol": {"Size": 10, "Format": "xfs", "BlockSize": 4096, "HALevel": 2, "Cos": 1}, "logs": {"Size": 1}}'
    assert load_documents(text, JSON) == [
        WHOLE,
        Parsed(name="logs", spec=VolumeSpec(size=GIB), given=frozenset({"size"})),
    ]


def test_a_document_in_yaml():
    text = "dbvol:\n  Size: 10\n  Format: xfs\n  BlockSize: 4096\n  HALevel: 2\n  Cos: 1\nlogs: {Size: 1}\n"
    assert load_documents(text, YAML) == [
        WHOLE,
        Parsed(name="logs", spec=VolumeSpec(size=GIB), given=frozenset({"size"})),
    ]


@pytest.mark.parametrize(
    ("keys", "fields"),
    [
        ({}, {}),
        ({"Size": 0.5}, None),
        ({"Size": 10.0}, {"size": 10 * GIB}),
        ({"Size": "10"}, {"size": 10 * GIB}),
        ({"Size": "512MiB"}, {"size": 512 << 20}),
        ({"Size": "1.5"}, {"size": 3 * GIB // 2}),
        ({"BlockSize": "4096"}, {"block_size": 4096}),
        ({"BlockSize": "4KiB"}, {"block_size": 4096}),
        ({"Format": "EXT4"}, {"format": FsType.EXT4}),
        ({"Cos": "high"}, {"cos": CosType.HIGH}),
        ({"Cos": 3}, {"cos": CosType.HIGH}),
    ],
)
def test_values(keys, fields):
    text = json.dumps({"v": keys})
    for written_in in DocumentFormat:
        if fields is None:
            with pytest.raises(InvalidArgument, match="whole number"):
                load_documents(text, written_in)
        else:
            [parsed] = load_documents(text, written_in)
            assert parsed.spec == VolumeSpec(**fields)


def test_an_empty_document_asks_for_nothing():
    assert load_documents("{}", JSON) == []
    assert load_documents("{}", YAML) == []


@pytest.mark.parametrize(
    ("keys", "field", "said"),
    [
        ({"size": 10}, "v.size", "did you mean 'Size'"),
        ({"HAlevel": 1}, "v.HAlevel", "did you mean 'HALevel'"),
        ({"Colour": 1}, "v.Colour", "unknown key"),
        ({"Size": -1}, "v.Size", "negative"),
        ({"Size": 2**40}, "v.Size", "larger"),
        ({"Size": True}, "v.Size", "whole number"),
        ({"Size": None}, "v.Size", "whole number"),
        ({"Size": [1]}, "v.Size", "whole number"),
        ({"Size": "1X"}, "v.Size", "unknown unit"),
        ({"Format": 2}, "v.Format", "text"),
        ({"Format": "ntfs"}, "v.Format", "must be one of"),
        ({"BlockSize": 1.5}, "v.BlockSize", "whole number"),
        ({"HALevel": "2"}, "v.HALevel", "whole number"),
        ({"HALevel": -1}, "v.HALevel", "whole number"),
        ({"Cos": 0}, "v.Cos", "must be one of"),
        ({"Cos": 4}, "v.Cos", "must be one of"),
        ({"Cos": {}}, "v.Cos", "whole number"),
        ([], "v", "must have keys"),
        (None, "v", "must have keys"),
        (1, "v", "must have keys"),
    ],
)
@pytest.mark.parametrize("written_in", list(DocumentFormat))
def test_what_is_wrong_is_named(keys, field, said, written_in):
    with pytest.raises(InvalidArgument) as caught:
        load_documents(json.dumps({"v": keys}), written_in)
    assert caught.value.field == field
    assert said in caught.value.reason


@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        ("", "document", "not JSON at line 1"),
        ("[]", "document", "names of volumes"),
        ("1", "document", "names of volumes"),
        ('{"v": {}} x', "document", "not JSON"),
        ('{"v":\n{"Size": }}', "document", "line 2"),
        ('{"v": {}, "v": {}}', "document", "twice"),
        ('{"v": {"Size": 1, "Size": 2}}', "document", "twice"),
        ('{"v": {"Size": NaN}}', "document", "not JSON"),
        ('{"v": {"Size": Infinity}}', "document", "not JSON"),
        ('{"v": {"Size": 1e999}}', "v.Size", "whole number"),
        ('{"v": {"Size": ' + "9" * 5000 + "}}", "document", "not JSON"),
        ('{"v": {"Size": ' + "9" * 4000 + "}}", "v.Size", "between"),
        ('{"": {}}', "name", "1 to 255"),
        ('{"a/b": {}}', "name", "slash"),
        ('{"\\ud800": {}}', "document", "no text"),
        ('{"a\\u0000": {}}', "document", "no text"),
        ('{"' + "x" * 300 + '": {}}', "name", "1 to 255"),
        ("[" * 30000, "document", "nested too deeply"),
        ("x" * 40000, "document", "characters"),
    ],
)
def test_json_that_is_no_document(text, field, said):
    with pytest.raises(InvalidArgument) as caught:
        load_documents(text, JSON)
    assert caught.value.field == field
    assert said in caught.value.reason


@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        ("", "document", "names of volumes"),
        ("- a", "document", "names of volumes"),
        ("a: [", "document", "not YAML at line 1"),
        ("a: {}\nb: }", "document", "not YAML at line 2"),
        ("a: {}\n---\nb: {}", "document", "not YAML"),
        ("1: {}", "document", "no text"),
        ("on: {}", "document", "no text"),
        ("? {a: b}\n: {}", "document", "not YAML"),
        ("v: {}\nv: {}", "document", "twice"),
        ('v: {}\n"v": {}', "document", "twice"),
        ("v: {Size: 1, Size: 2}", "document", "twice"),
        ("a: &x {Size: 1}\nb: *x", "document", "alias"),
        ("a: &x [*x]", "document", "alias"),
        ("a: &x {Size: 1}\nb: {<<: *x}", "document", "alias"),
        ("v: !!python/object/apply:os.getcwd []", "document", "tag"),
        ("v: {Size: !!timestamp x}", "document", "tag"),
        ("!!set {v}", "document", "tag"),
        ("!!omap [v: {}]", "document", "tag"),
        ("v: {Size: ! 1}", "document", "tag"),
        ("v: {Size: 0x_}", "document", "not YAML"),
        ("v: {Size: 2020-99-99}", "document", "not YAML"),
        ("v: {Size: 2020-01-01}", "v.Size", "whole number"),
        ("v: {Size: .inf}", "v.Size", "whole number"),
        ("v: {Size: " + "9" * 5000 + "}", "document", "not YAML"),
        ("v: {Size: 0x" + "f" * 9000 + "}", "v.Size", "between"),
        ("v: " + "[" * 9, "document", "nested too deeply"),
        ("[" * 20000, "document", "nested too deeply"),
        ("v: {Size: \x01}", "document", "not YAML"),
        ("x" * 40000, "document", "characters"),
    ],
)
def test_yaml_that_is_no_document(text, field, said):
    with pytest.raises(InvalidArgument) as caught:
        load_documents(text, YAML)
    assert caught.value.field == field
    assert said in caught.value.reason


NAMES = st.sampled_from(["v", "data-1", "Size", "on", "1", "", "a/b", "é", "\ud800"]) | st.text(max_size=5)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([10, 2**70, "10GiB", "xfs", "high", "-1"])
)
KEYS = st.sampled_from(["Size", "Format", "BlockSize", "HALevel", "Cos", "size", "Extra"])
DOCUMENTS = st.dictionaries(NAMES, st.dictionaries(KEYS, SCALARS, max_size=5) | SCALARS, max_size=3)


@settings(deadline=None)
@given(DOCUMENTS)
def test_any_document_is_read_or_refused(document):
    text = json.dumps(document)
    for written_in in DocumentFormat:
        try:
            found = load_documents(text, written_in)
        except InvalidArgument:
            continue
        assert [parsed.name for parsed in found] == list(document)


PIECES = st.sampled_from(
    ["v", ": ", "{", "}", "[", "]", ",", "Size", "\n", "  ", "- ", "&a ", "*a", "!!set ", "!!omap ", "<<", "? ", "| ",
     "'", '"', "#", "\t", "\0", "0x1", "1:30", "2001-02-30", ".nan", "~", "---\n", "...\n", "%YAML 1.1\n", "!!binary ",
     "!!float x", "!!int x", "!!timestamp x", "!!bool x", "!!pairs "]
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(PIECES | st.text(max_size=4), max_size=15).map("".join), st.sampled_from(DocumentFormat))
def test_any_text_is_read_or_refused(text, written_in):
    with contextlib.suppress(InvalidArgument):
        load_documents(text, written_in)
