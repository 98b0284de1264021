"""What ganesha reads: rendering and refusing, without touching anything.

Only values that cannot end a quoted string or a token reach the text. Paths
are double quoted; client tokens must stay bare, because ganesha refuses quoted
ones ("Expected a client, got a double quoted string").
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from gateway.core.errors import InvalidArgument
from gateway.core.exporter import Export, ExportAccess

Resolve = Callable[[str], tuple[str, ...]]
"""Gives the addresses of a host name; empty when it has none."""

NUMBER_MAX = 65535
UID_MAX = 2**32 - 1
PATH_MAX = 1024
# ganesha's lexer takes at most two digits after the slash of an IPv6 network
IPV6_PREFIX_MAX = 99

_UNSAFE_IN_PATH = re.compile(r"""["'\\#\x00-\x1f\x7f]""")
_HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_-]{1,63})*\Z")
_DOMAIN = re.compile(r"\.(?=.{1,253}\Z)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\Z")
_NETGROUP = re.compile(r"@[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
_LOOKS_NUMERIC = re.compile(r"[0-9.]+\Z")

MAIN = """\
NFS_CORE_PARAM {{
  Protocols = 4;
  NFS_Port = {port};
  Bind_addr = {bind};
  Enable_NLM = false;
  Enable_RQUOTA = false;
  Enable_UDP = false;
}}
NFSV4 {{
  Graceless = true;
  Grace_Period = 0;
  Lease_Lifetime = 60;
  Minor_Versions = 0, 1, 2;
  Only_Numeric_Owners = true;
  RecoveryBackend = fs;
  RecoveryRoot = "{recovery}";
}}
NFS_KRB5 {{ Active_krb5 = false; }}
LOG {{ Default_Log_Level = WARN; Components {{ TIRPC = MAJ; }} }}
"""

# Attr_Expiration_Time: the same bytes are reachable through the local path, so nothing may be remembered
EXPORT = """\
EXPORT {{
  Export_Id = {number};
  Path = "{root}";
  Pseudo = "{path}";
  Protocols = 4;
  Transports = TCP;
  SecType = sys;
  Access_Type = None;
  Squash = Root_Squash;
  Attr_Expiration_Time = 0;
{clients}  FSAL {{ Name = VFS; }}
}}
"""

CLIENT = """\
  CLIENT {{
    Clients = {clients};
    Protocols = 4;
    Access_Type = {access};
    Squash = {squash};
    Anonymous_Uid = {uid};
    Anonymous_Gid = {uid};
  }}
"""


def quotable(path: str, field: str) -> str:
    """Give the path back; InvalidArgument when a quoted string could not hold it literally."""
    reason = None
    if not path.startswith("/"):
        reason = "must be absolute"
    elif len(path.encode(errors="replace")) > PATH_MAX:
        reason = f"is longer than {PATH_MAX} bytes"
    elif _UNSAFE_IN_PATH.search(path) or not path.isprintable():
        reason = "contains a quote, backslash, number sign or control character"
    elif any(part in ("", ".", "..") for part in path[1:].split("/")):
        reason = "has an empty, '.' or '..' component"
    if reason is not None:
        raise InvalidArgument(field=field, value=path[:200], reason=reason)
    return path


def _network(pattern: str) -> str | None:
    """Give the token of an address or network, None when the pattern is neither."""
    try:
        network = ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        return None
    if network.prefixlen == 0:
        # the lexer takes "/0" for a file name; a client of the other family matches too, as no such door is open
        return "*"
    if network.prefixlen == network.max_prefixlen:
        return str(network.network_address)
    if network.version == 6 and network.prefixlen > IPV6_PREFIX_MAX:  # noqa: PLR2004
        reason = f"an IPv6 network must be a single address or have at most {IPV6_PREFIX_MAX} prefix bits"
        raise InvalidArgument(field="rules", value=pattern, reason=reason)
    return str(network)


def client_tokens(pattern: str, resolve: Resolve) -> tuple[str, ...]:
    """Give ganesha's tokens for one client pattern.

    A pattern is a host name, an address, a network with prefix or mask,
    `.domain`, or `@netgroup`. Host names become their addresses here: ganesha
    would resolve them once while all its clients wait, and drop the whole
    update when one fails. A name without an address matches nobody.
    """
    if pattern == "*":
        return ("*",)
    if "%" not in pattern and (token := _network(pattern)) is not None:
        return (token,)
    if _DOMAIN.match(pattern):
        return ("*" + pattern,)
    if _NETGROUP.match(pattern):
        return (pattern,)
    if _HOST.match(pattern) and not _LOOKS_NUMERIC.match(pattern):
        return resolve(pattern)
    reason = "is not a host, address, network, .domain or @netgroup"
    raise InvalidArgument(field="rules", value=pattern[:200], reason=reason)


def _client_block(rule: ExportAccess, resolve: Resolve, *, read_only: bool) -> str:
    if not 0 <= rule.anonymous_uid <= UID_MAX:
        raise InvalidArgument(field="rules", value=rule.anonymous_uid, reason="anonymous uid out of range")
    tokens = dict.fromkeys(token for pattern in rule.clients for token in client_tokens(pattern, resolve))
    if not tokens:
        return ""
    return CLIENT.format(
        clients=", ".join(tokens),
        access="RW" if rule.write and not read_only else "RO",
        squash="Root_Squash" if rule.squash_root else "No_Root_Squash",
        uid=rule.anonymous_uid,
    )


def export_stanza(number: int, export: Export, root: Path, resolve: Resolve) -> str:
    """Give the EXPORT block. Blocks of clients keep the order of the rules: ganesha takes the first match."""
    if not 1 <= number <= NUMBER_MAX:
        raise InvalidArgument(field="number", value=number, reason="is not an export number")
    blocks = [_client_block(rule, resolve, read_only=export.source.read_only) for rule in export.rules]
    return EXPORT.format(
        number=number, root=quotable(str(root), "source"), path=quotable(export.path, "path"), clients="".join(blocks)
    )


def check(export: Export) -> None:
    """Raise InvalidArgument for a description that could never be published. Asks no name server."""
    if export.path == "/":
        raise InvalidArgument(field="path", value="/", reason="the root of the name space cannot be a publication")
    export_stanza(1, export, Path("/source"), lambda _name: ())


def main_settings(*, bind: str, port: int, recovery: Path) -> str:
    """Give the part of the main configuration that only a restart of the server can change."""
    try:
        address = ipaddress.ip_address(bind)
    except ValueError:
        raise InvalidArgument(field="bind", value=bind[:200], reason="must be an address") from None
    if not 0 < port <= 65535:  # noqa: PLR2004
        raise InvalidArgument(field="port", value=port, reason="is not a port")
    return MAIN.format(bind=address, port=port, recovery=quotable(str(recovery), "state_dir"))


def main_configuration(settings: str, stanzas: Iterable[Path]) -> str:
    """Give the whole main configuration: the settings and every export's file."""
    return settings + "".join(f'%include "{quotable(str(path), "state_dir")}"\n' for path in stanzas)


def is_beneath(path: str, ancestor: str) -> bool:
    """Tell whether a published path lies inside another."""
    return path.startswith(ancestor.rstrip("/") + "/")


def nearest(path: str, candidates: Sequence[str]) -> str | None:
    """Give the innermost of the candidate paths that the path lies in."""
    return max((c for c in candidates if is_beneath(path, c)), key=len, default=None)
