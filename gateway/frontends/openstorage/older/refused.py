"""Routes that there are, and that a gateway has nothing behind: refused as a backend without them does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway.frontends.openstorage.older.volumes import NOT_SUPPORTED

NOT_IMPLEMENTED = "Not Implemented"
NEVER = "Not implemented."


class Absent(NamedTuple):
    """A route with the refusal. `admin`: only an administrator gets to know."""

    verb: str
    template: str
    status: int
    text: str
    admin: bool


def _absent(status: int, text: str, routes: str, *, base: str, admin: bool) -> Sequence[Absent]:
    """Read lines of a path and its verbs."""
    found = []
    for line in filter(None, map(str.strip, routes.splitlines())):
        path, *verbs = line.split()
        found += [Absent(verb, f"{base}{path.removeprefix('.')}", status, text, admin) for verb in verbs]
    return found


_CREDENTIALS = """
    .                    GET POST
    /{uuid}              PUT DELETE
    /references/{uuid}   DELETE
"""
_BACKUPS = """
    .             POST GET DELETE
    /group        POST
    /restore      POST
    /all          DELETE
    /status       GET
    /catalog      GET
    /history      GET
    /statechange  PUT
    /sched        POST PUT DELETE GET
    /schedgroup   POST PUT
"""
_MIGRATIONS = """
    /start   POST
    /cancel  POST
    /status  GET
"""
_BACKEND_SERVICES = """
    /volservice/{id}  POST
    /bytesused        POST
"""
_CLUSTER = """
    /pair                      PUT POST GET
    /pair/validate/{id}        PUT
    /pair/{id}                 GET PUT DELETE
    /pairtoken                 GET
    /objectstore               GET POST PUT
    /objectstore/delete        DELETE
    /secrets                   GET PUT
    /secrets/verify            GET
    /secrets/defaultsecretkey  GET PUT
    /secrets/login             POST
    /config/cluster            GET POST
    /config/node               POST
    /config/node/{id}          GET DELETE
    /config/enumerate          GET
"""
_NEVER = """
    /gossipstate    GET
    /enablegossip   PUT
    /disablegossip  PUT
    /shutdown       PUT
    /shutdown/{id}  PUT
"""

ABSENT: Sequence[Absent] = (
    *_absent(422, NOT_SUPPORTED, "/validate/{uuid} PUT", base="/v1/osd-creds", admin=True),
    *_absent(500, NOT_SUPPORTED, _CREDENTIALS, base="/v1/osd-creds", admin=True),
    *_absent(500, NOT_SUPPORTED, _BACKUPS, base="/v1/osd-backup", admin=False),
    *_absent(500, NOT_SUPPORTED, _MIGRATIONS, base="/v1/osd-migrate", admin=False),
    *_absent(400, NOT_SUPPORTED, _BACKEND_SERVICES, base="/v1/osd-volumes", admin=False),
    *_absent(500, NOT_IMPLEMENTED, _CLUSTER, base="/v1/cluster", admin=True),
    *_absent(501, NEVER, _NEVER, base="/v1/cluster", admin=True),
)
