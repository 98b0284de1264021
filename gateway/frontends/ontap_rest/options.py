"""Query parameters of a resource's own that the door does not carry out: refused, unless they ask for what is so."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.frontends.ontap_rest.errors import WireError
from gateway.frontends.ontap_rest.query import Parameters
from gateway.frontends.ontap_rest.scalars import Scalar
from gateway.frontends.ontap_rest.schema import Verb

UNSERVED: Mapping[tuple[str, Verb], Mapping[str, Scalar | None]] = {
    ("aggregate", Verb.GET): {
        "auto_provision_policy": None,
        "flash_pool_eligible": False,
        "recommend": False,
        "show_spares": False,
    },
    ("volume", Verb.PATCH): {
        "aggressive_readahead_mode": "none",
        "clone.match_parent_storage_tier": False,
        "nvfail": "off",
        "restore_to.byte_count": None,
        "restore_to.path": None,
        "restore_to.restore_path": None,
        "restore_to.start_byte": None,
        "scheduled_snapshot_naming_scheme": "create_time",
        "sizing_method": "use_existing_resources",
        "snapshot_directory_access_enabled": False,
        "validate_only": False,
    },
    ("snapmirror_relationship", Verb.POST): {"validate_only": False},
    ("snapmirror_relationship", Verb.DELETE): {"delete_lun_maps_in_destination": False, "unmap_namespace": False},
}
"""Resource and verb -> parameter -> the value that changes nothing; None: there is none."""


def refuse_unserved(resource: str, verb: Verb, parameters: Parameters) -> None:
    """Raise WireError for a parameter that would be ignored."""
    for name, idle in UNSERVED.get((resource, verb), {}).items():
        given = parameters.options.get(name)
        if given is None or given == idle:
            continue
        code = "918703" if resource == "volume" else "262144017"
        message = f'The operation is not supported on this platform. Parameter "{name}" has no counterpart here.'
        raise WireError(400, code, message=message, target=name)
