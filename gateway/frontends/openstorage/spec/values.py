"""Values of options as text: how each kind is read and written. What cannot be read is a ValueError that says why."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from gateway.core import errors
from gateway.core.secret import Secret
from gateway.frontends.openstorage.spec.model import AUTO_AGGREGATION, CosType, FailoverStrategy, ServiceType, Xattr
from gateway.frontends.openstorage.spec.units import parse_size, size_text

SHOWN_MAX = 64
UINT32_MAX = 2**32 - 1
INT64_MAX = 2**63 - 1

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_NUMBER = re.compile(r"[0-9]{1,20}")


class Codec(msgspec.Struct, frozen=True):
    """How a kind of value is read from text and written as text."""

    read: Callable[[str], Any]
    write: Callable[[Any], str]


def invalid(field: str, reason: str, *, value: str | None = None) -> errors.InvalidArgument:
    """Give the error for an option, with at most the beginning of the value."""
    return errors.InvalidArgument(field=field, value=value and value[:SHOWN_MAX], reason=reason)


def hint(word: str, known: Iterable[str]) -> str:
    """Give the end of a sentence that offers the known word which was probably meant, or nothing."""
    nearest = difflib.get_close_matches(word[:SHOWN_MAX], list(known), n=1, cutoff=0.5)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""


def whole(most: int) -> Codec:
    """Give the codec of a whole number up to `most`."""

    def read(text: str) -> int:
        if not _NUMBER.fullmatch(text):
            raise ValueError("is not a whole number")
        if (value := int(text)) > most:
            raise ValueError(f"must be at most {most}")
        return value

    return Codec(read, str)


def words(table: Mapping[str, Any]) -> Codec:
    """Give the codec of fixed words, read in letters of any case. The first word for a value is the one written."""
    members = {word.lower(): member for word, member in table.items()}
    texts = {member: word for word, member in reversed(list(table.items()))}

    def read(text: str) -> Any:
        if (lowered := text.lower()) not in members:
            offered = ", ".join(word for word in table if word)
            raise ValueError(f"must be one of {offered}{hint(lowered, members)}")
        return members[lowered]

    def write(value: Any) -> str:
        if value not in texts:
            raise ValueError("has no word in this grammar")
        return str(texts[value])

    return Codec(read, write)


def names(enum: Iterable[Any]) -> Codec:
    """Give the codec of an enum whose words are its names, but for INVALID."""
    return words({member.name.lower(): member for member in enum if member.name != "INVALID"})


def read_boolean(text: str) -> bool:
    """Give the truth value of a word that the reference takes for one."""
    if text not in _TRUE | _FALSE:
        raise ValueError("is neither true nor false")
    return text in _TRUE


def _write_boolean(value: Any) -> str:
    return "true" if value else "false"


def _read_nodes(text: str) -> tuple[str, ...]:
    return tuple(node for node in text.replace(";", ",").split(",") if node)


def read_pairs(text: str) -> dict[str, str]:
    """Give the keys and values of `k1=v1,k2`; a key without a value has the empty text."""
    pairs: dict[str, str] = {}
    for item in filter(None, text.split(",")):
        key, _, value = item.partition("=")
        if not key:
            raise ValueError("has a value without a key")
        if key in pairs:
            raise ValueError(f"has the key {key[:SHOWN_MAX]!r} twice")
        pairs[key] = value
    return pairs


def write_pairs(pairs: Mapping[str, str]) -> str:
    """Give the text that `read_pairs` reads as these; ValueError when there is none."""
    text = ",".join(f"{key}={value}" if value else key for key, value in pairs.items())
    if read_pairs(text) != pairs:
        raise ValueError("has a key or a value that a list cannot hold")
    return text


def _read_secret(text: str) -> Secret | None:
    return Secret(text) if text else None


def _write_secret(secret: Any) -> str:
    return secret.reveal() if secret is not None else ""


def _read_aggregation(text: str) -> int:
    return AUTO_AGGREGATION if text == "auto" else int(UINT32.read(text))


def _write_aggregation(value: Any) -> str:
    return "auto" if value == AUTO_AGGREGATION else str(value)


UINT32 = whole(UINT32_MAX)
INT64 = whole(INT64_MAX)
TEXT = Codec(str, str)
SECRET = Codec(_read_secret, _write_secret)
SIZE = Codec(parse_size, size_text)
BOOLEAN = Codec(read_boolean, _write_boolean)
NODES = Codec(_read_nodes, ",".join)
PAIRS = Codec(read_pairs, write_pairs)
AGGREGATION = Codec(_read_aggregation, _write_aggregation)
COS = words(
    {
        "low": CosType.LOW,
        "medium": CosType.MEDIUM,
        "high": CosType.HIGH,
        "1": CosType.LOW,
        "2": CosType.MEDIUM,
        "3": CosType.HIGH,
        "": CosType.LOW,
    }
)
COW = Codec(
    lambda text: Xattr.COW_ON_DEMAND if read_boolean(text) else Xattr.UNSPECIFIED,
    lambda value: _write_boolean(value is Xattr.COW_ON_DEMAND),
)
SERVICE_TYPE = words(
    {
        "NodePort": ServiceType.NODEPORT,
        "ClusterIP": ServiceType.CLUSTERIP,
        "LoadBalancer": ServiceType.LOADBALANCER,
        "": ServiceType.NONE,
    }
)
FAILOVER = words(
    {
        "normal": FailoverStrategy.NORMAL,
        "aggressive": FailoverStrategy.AGGRESSIVE,
        "": FailoverStrategy.UNSPECIFIED,
    }
)
