"""The part of the route table that looks into volumes: files, clones of files, qtrees and quota rules."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.frontends.ontap_rest import sources_files as sources
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.endpoint import Endpoint, Made, named
from gateway.frontends.ontap_rest.errors import WireError
from gateway.frontends.ontap_rest.schema import Schema
from gateway.frontends.ontap_rest.sources_system import Nothing
from gateway.frontends.ontap_rest.writes import files as write_files
from gateway.frontends.ontap_rest.writes import qtrees as write_qtrees

_NOT_HERE = "262144017"


def files_endpoints(schema: Schema) -> Mapping[str, Endpoint]:
    """Give every endpoint by its collection's path."""
    return {
        "storage/volumes/{}/files": Endpoint(
            resource=schema["file"],
            source=sources.Files(),
            operation=named("file"),
            modify=write_files.modify,
            delete=write_files.delete,
            listing=True,
        ),
        "storage/file/clone": Endpoint(
            resource=schema["file_clone"],
            source=Nothing(),
            operation=named("file_clone"),
            create=write_files.clone,
            readable=False,
            instances=False,
        ),
        "private/cli/volume/file/clone": Endpoint(
            resource=schema["cli_file_clone"],
            source=Nothing(),
            operation=named("file_clone"),
            create=write_files.clone_by_command,
            readable=False,
            instances=False,
        ),
        # Blocks that files share are shared for good, so there is never a split under way.
        "storage/file/clone/split-status": Endpoint(
            resource=schema["split_status"], source=Nothing(), operation=named("split_status")
        ),
        "storage/qtrees": Endpoint(
            resource=schema["qtree"],
            source=sources.Qtrees(),
            operation=named("qtree"),
            create=write_qtrees.create,
            modify=write_qtrees.modify,
            delete=write_qtrees.delete,
            put_back=write_qtrees.put_back,
            instance="{}/{}",
        ),
        "storage/quota/rules": Endpoint(
            resource=schema["quota_rule"],
            source=Nothing(),
            operation=named("quota_rule"),
            precheck=_refuse_quotas,
            refuses=_NOT_HERE,
            create=_no_quotas,
        ),
    }


def _refuse_quotas(ask: Ask, values: Values) -> None:
    del ask, values
    raise WireError(
        400,
        _NOT_HERE,
        message="The operation is not supported on this platform. "
        "No pool here limits less than a volume: its size is its quota.",
    )


async def _no_quotas(ask: Ask, values: Values) -> Made:
    _refuse_quotas(ask, values)
    return None
