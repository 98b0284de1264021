"""The SDK as REST and JSON (port 9110).

The pure half:

* `paths`, `routes`: a request's target, and the call it means.
* `values`, `decode`: the call's message from path, query and body.
* `headers`: token, deadline, what pages of other origins may do.
* `encode`: answers, errors and streams as bytes; `HTTP_STATUS` of each code.
* `openapi`: the documents that describe all of it.

`door` is a request's way in and out, over anything that answers calls.
"""

from __future__ import annotations

from gateway.frontends.openstorage.rest.door import Answering, RestDoor
from gateway.frontends.openstorage.rest.encode import HTTP_STATUS

__all__ = ["HTTP_STATUS", "Answering", "RestDoor"]
