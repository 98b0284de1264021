"""What ZFS says, and what it means to the core."""

from __future__ import annotations

import errno

import pytest

from gateway.backends.zfs.failures import (
    ERRORS,
    NUMBERS,
    NUMBERS_OF,
    TEXTS,
    Meaning,
    Refused,
    numbered,
    refusal,
    translated,
)
from gateway.core.errors import (
    Busy,
    GatewayError,
    Internal,
    InUse,
    InvalidArgument,
    LimitExceeded,
    NotFound,
    OutOfSpace,
    Unavailable,
)

SAID = [
    ("cannot open 'tank/a': dataset does not exist\n", Meaning.MISSING),
    ("could not find any snapshots to destroy; check snapshot names.\n", Meaning.MISSING),
    ("cannot create 'x/a': no such pool 'x'\n", Meaning.GONE),
    ("cannot open 'x': no such pool\n", Meaning.GONE),
    ("cannot create 'tank/x/y': parent does not exist\n", Meaning.MISSING),
    ("cannot create 'tank/a': dataset already exists\n", Meaning.EXISTS),
    ("cannot create snapshot 'tank/a@s': dataset already exists\nno snapshots were created\n", Meaning.EXISTS),
    ("cannot create bookmark 'tank/a#b': bookmark exists\n", Meaning.EXISTS),
    (
        "cannot receive new filesystem stream: destination 'tank/a' exists\nmust specify -F to overwrite it\n",
        Meaning.EXISTS,
    ),
    (
        "cannot receive new filesystem stream: destination has snapshots (eg. tank/a@s)\nmust destroy them to",
        Meaning.EXISTS,
    ),
    ("cannot destroy 'tank/a': filesystem has children\nuse '-r' to destroy\ntank/a@s\n", Meaning.CHILDREN),
    ("cannot destroy 'tank/v': volume has children\nuse '-r' to destroy\ntank/v@s\n", Meaning.CHILDREN),
    ("cannot destroy 'tank/a@s': snapshot has dependent clones\nuse '-R' to destroy\ntank/c\n", Meaning.CLONES),
    ("cannot destroy 'tank/a': filesystem has dependent clones\nuse '-R'\ntank/c\n", Meaning.CLONES),
    (
        "cannot destroy snapshot tank/a@s: it's being held. Run 'zfs holds -r tank/a@s' to see holders.\n",
        Meaning.HELD,
    ),
    (
        "cannot rollback to 'tank/a@s': more recent snapshots or bookmarks exist\nuse '-r' to force\ntank/a@t\n",
        Meaning.NEWER,
    ),
    ("cannot rollback to 'tank/a@s': more recent snapshots exist\n", Meaning.NEWER),
    ("cannot rollback to 'tank/a@s': clones of previous snapshots exist\nuse '-R'\ntank/c\n", Meaning.CLONES),
    ("cannot promote 'tank/a': not a cloned filesystem\n", Meaning.SETTLED),
    ("cannot hold snapshot 'tank/a@s': tag already exists on this dataset\n", Meaning.EXISTS),
    ("cannot release 't' from 'tank/a@s': no such tag on this dataset\n", Meaning.MISSING),
    ("cannot destroy 'tank/a': dataset is busy\n", Meaning.BUSY),
    ("cannot unmount '/tank/a': pool or dataset is busy\n", Meaning.BUSY),
    ("cannot unmount 'tank/a': not currently mounted\n", Meaning.SETTLED),
    ("cannot mount 'tank/a': filesystem already mounted\n", Meaning.SETTLED),
    ("cannot mount 'tank/a': encryption key not loaded\n", Meaning.LOCKED),
    ("Key load error: Incorrect key provided for 'tank/a'.\n", Meaning.LOCKED),
    ("Key load error: Key already loaded for 'tank/a'.\n", Meaning.SETTLED),
    ("cannot create 'tank/a': out of space\n", Meaning.SPACE),
    ("cannot create snapshots : out of space\n", Meaning.SPACE),
    (
        "cannot set property for 'tank/a': size is less than current used or reserved space\n",
        Meaning.BELOW_USE,
    ),
    ("cannot set property for 'tank/a': size is greater than available space\n", Meaning.SPACE),
    (
        "cannot create 'tank/v': 'volsize' must be a multiple of volume block size (16K)\n",
        Meaning.INVALID,
    ),
    (
        "cannot set property for 'tank/v': 'quota' does not apply to datasets of this type\n",
        Meaning.INVALID,
    ),
    ("cannot set property for 'tank/a': invalid property 'x'\n", Meaning.INVALID),
    ("bad property list: invalid property 'x'\nFor more info, run: zfs help get\n", Meaning.INVALID),
    ("cannot set property for 'tank/a': 'used' is readonly\n", Meaning.INVALID),
    ("cannot set property for 'tank/a': 'compression' must be one of 'on | off'\n", Meaning.INVALID),
    ("cannot set property for 'tank/a': property value too long\n", Meaning.TOO_LONG),
    ("cannot set property for 'tank/a': property name 'x:y' is too long\n", Meaning.TOO_LONG),
    ("cannot create 'tank/a%b': invalid character '%' in name\n", Meaning.INVALID),
    ("cannot create 'tank//a': empty component or misplaced '@' or '#' delimiter in name\n", Meaning.INVALID),
    ("cannot create 'tank/a/': trailing slash in name\n", Meaning.INVALID),
    ("cannot create 'tank/..': parent reference, '..' is found in name\n", Meaning.INVALID),
    ("cannot create 'tank/a@b': snapshot delimiter '@' is not expected here\n", Meaning.INVALID),
    ("cannot create 'tank/a': name is too long\n", Meaning.TOO_LONG),
    ("cannot rename 'tank/a': dataset name is too long\n", Meaning.TOO_LONG),
    ("cannot create 'tank/a': maximum name nesting depth exceeded\n", Meaning.TOO_LONG),
    (
        "cannot create snapshots : multiple snapshots of same fs not allowed\nno snapshots were created\n",
        Meaning.INVALID,
    ),
    ("cannot create 'other/c': source and target pools differ\n", Meaning.INVALID),
    ("cannot rename to 'other/c': datasets must be within same pool\n", Meaning.INVALID),
    ("cannot open 'tank/a': operation not applicable to datasets of this type\n", Meaning.INVALID),
    ("cannot create 'tank/a': permission denied\n", Meaning.DENIED),
    ("cannot mount '/tank/a': failed to create mountpoint: Permission denied\n", Meaning.DENIED),
    ("Channel program execution failed:\nPermission denied. Channel programs must be run as root.\n", Meaning.DENIED),
    ("filesystem successfully created, but it may only be mounted by root\n", Meaning.DENIED),
    (
        "cannot receive incremental stream: destination tank/a has been modified\nsince most recent snapshot\n",
        Meaning.BASE,
    ),
    (
        "cannot receive incremental stream: most recent snapshot of tank/a does not\nmatch incremental source\n",
        Meaning.BASE,
    ),
    (
        "cannot receive new filesystem stream: checksum mismatch or incomplete stream.\nPartially received snapshot",
        Meaning.STREAM,
    ),
    ("cannot receive new filesystem stream: incomplete stream\n", Meaning.STREAM),
    ("cannot receive: failed to read from stream\n", Meaning.STREAM),
    ("cannot receive: invalid stream (bad magic number)\n", Meaning.STREAM),
    (
        'cannot receive resume stream: destination tank/a contains partially-complete state from "zfs receive -s".\n',
        Meaning.PARTIAL,
    ),
    ("cannot receive incremental stream: destination 'tank/a' does not exist\n", Meaning.MISSING),
    ("/dev/zfs and /proc/self/mounts are required.\n", Meaning.GONE),
    ("The ZFS modules cannot be auto-loaded.\nTry running 'modprobe zfs' as root\n", Meaning.GONE),
    ("cannot create 'tank/a': pool is read-only\n", Meaning.GONE),
    ("cannot set property for 'tank/a': pool I/O is currently suspended\n", Meaning.GONE),
    ("cannot open 'tank': one or more devices is currently unavailable\n", Meaning.GONE),
    ("internal error: something new\n", Meaning.DEFECT),
    ("", Meaning.DEFECT),
]


@pytest.mark.parametrize(("stderr", "meaning"), SAID)
def test_what_the_program_says(stderr: str, meaning: Meaning) -> None:
    assert refusal(stderr).meaning is meaning


def test_no_text_is_hidden_by_an_earlier_one() -> None:
    for position, (text, meaning) in enumerate(TEXTS):
        hiding = [(other, m) for other, m in TEXTS[:position] if other in text and m is not meaning]
        assert hiding == [], text


@pytest.mark.parametrize(
    ("call", "number", "meaning"),
    [
        ("create", errno.EEXIST, Meaning.EXISTS),
        ("create", errno.ENOENT, Meaning.MISSING),
        ("create", errno.ENOSPC, Meaning.SPACE),
        ("create", errno.EPERM, Meaning.DENIED),
        ("create", errno.EACCES, Meaning.LOCKED),
        ("snapshot", errno.ENOENT, Meaning.MISSING),
        ("snapshot", errno.EDQUOT, Meaning.SPACE),
        ("destroy", errno.EBUSY, Meaning.BUSY),
        ("destroy", errno.EEXIST, Meaning.CHILDREN),
        ("destroy_snapshots", errno.EEXIST, Meaning.CLONES),
        ("destroy_snapshots", errno.EBUSY, Meaning.HELD),
        ("rollback", errno.EEXIST, Meaning.NEWER),
        ("rename", errno.EXDEV, Meaning.INVALID),
        ("create", errno.EROFS, Meaning.GONE),
        ("create", errno.EAGAIN, Meaning.GONE),
        ("create", errno.ENAMETOOLONG, Meaning.TOO_LONG),
        ("create", 1033, Meaning.DEFECT),
    ],
)
def test_what_the_library_says(call: str, number: int, meaning: Meaning) -> None:
    assert numbered(call, number, "text").meaning is meaning


def test_every_meaning_has_its_error() -> None:
    assert set(ERRORS) == set(Meaning)
    assert {*NUMBERS.values(), *NUMBERS_OF.values(), *(meaning for _, meaning in TEXTS)} <= set(Meaning)


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (Refused(Meaning.SPACE, "words"), OutOfSpace),
        (Refused(Meaning.GONE, "words"), Unavailable),
        (Refused(Meaning.BUSY, "words"), Busy),
        (Refused(Meaning.BELOW_USE, "words"), LimitExceeded),
        (Refused(Meaning.HELD, "words"), InUse),
        (Refused(Meaning.CLONES, "words"), InUse),
        (Refused(Meaning.STREAM, "words"), InvalidArgument),
        (Refused(Meaning.MISSING, "words"), NotFound),
        (Refused(Meaning.DENIED, "words"), Unavailable),
        (Refused(Meaning.DEFECT, "words"), Internal),
        (OSError(errno.ENOSPC, "words"), OutOfSpace),
        (OSError(errno.EDQUOT, "words"), OutOfSpace),
        (OSError(errno.EROFS, "words"), Unavailable),
        (OSError(errno.ENOENT, "words"), Unavailable),
        (OSError(errno.ENOEXEC, "words"), Internal),
    ],
)
def test_the_words_go_to_the_log_and_not_to_clients(raised: Exception, error: type[GatewayError]) -> None:
    logged: list[str] = []
    with pytest.raises(error) as caught, translated("pool", logged.append):
        raise raised
    assert "words" not in str(caught.value)
    assert "words" in logged[0]
