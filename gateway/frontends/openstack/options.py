"""What can be configured in a backend's stanza, for oslo.config.

`CINDER` and `MANILA` are what each driver registers. `list_cinder` and
`list_manila` are for oslo-config-generator and oslo-config-validator: a whole
stanza named `gateway`, with the few options of the service itself that matter
to it.
"""

from __future__ import annotations

from collections.abc import Sequence

from oslo_config import cfg, types

CINDER_DRIVER = "gateway.frontends.cinder_driver.GatewayVolumeDriver"
MANILA_DRIVER = "gateway.frontends.manila_driver.GatewayShareDriver"

WAYS = ("local", "iscsi", "nfs")
"""How hosts can be led to a block volume, the preferred first."""

TIMEOUT_S = 60.0

SHARED: tuple[cfg.Opt, ...] = (
    cfg.StrOpt(
        "gateway_url",
        sample_default="https://gateway.example:8443",
        help="Address of the gateway. http:// is taken for this host only, unless gateway_insecure is set.",
    ),
    cfg.StrOpt("gateway_user", help="The account of this service at the gateway."),
    cfg.StrOpt(
        "gateway_password",
        secret=True,
        help="The account's password. Better, say where it is: gateway_password_file or gateway_password_env.",
    ),
    cfg.StrOpt(
        "gateway_password_file",
        sample_default="/etc/gateway/password",
        help="A file that holds the account's password. The end of its line does not count.",
    ),
    cfg.StrOpt(
        "gateway_password_env",
        help="The variable in the environment of this service that holds the account's password.",
    ),
    cfg.StrOpt(
        "gateway_ca",
        sample_default="/etc/gateway/ca.pem",
        help="A file with the certificate, or the authority, to trust. Without it the authorities of this host are.",
    ),
    cfg.BoolOpt(
        "gateway_insecure",
        default=False,
        help="Trust any certificate, and send the password without encryption to an http:// address. For trials only.",
    ),
    cfg.FloatOpt(
        "gateway_timeout_s",
        default=TIMEOUT_S,
        min=1,
        max=3600,
        help="Seconds that the gateway has for an answer. Changes that take longer are followed until their end.",
    ),
    cfg.StrOpt(
        "gateway_tenant",
        help="The tenant (SVM) at the gateway that holds what this backend makes. Without it, the only one there is.",
    ),
    cfg.ListOpt(
        "gateway_pools",
        default=[],
        sample_default=["fast", "large"],
        help="The gateway's pools that this backend offers. Without it, all that can hold what it makes.",
    ),
)
"""What both drivers have."""

CINDER: tuple[cfg.Opt, ...] = (
    *SHARED,
    cfg.ListOpt(
        "gateway_ways",
        default=list(WAYS),
        item_type=types.String(choices=list(WAYS)),
        help="How hosts may be led to a volume. Of those the gateway takes the first that a pool and the host have: "
        "a device of this host, iSCSI, a file over NFS.",
    ),
    cfg.BoolOpt(
        "gateway_chap",
        default=True,
        help="Whether hosts log in with a password (CHAP) for iSCSI. The gateway makes one for each initiator.",
    ),
)

MANILA: tuple[cfg.Opt, ...] = SHARED

_CINDER_STANZA: tuple[cfg.Opt, ...] = (
    cfg.StrOpt("volume_driver", sample_default=CINDER_DRIVER, help="The driver's class."),
    cfg.StrOpt("volume_backend_name", sample_default="gateway", help="What volume types call this backend."),
    cfg.IntOpt(
        "reserved_percentage", default=0, min=0, max=100, help="How much of each pool is kept free, in percent."
    ),
    cfg.StrOpt(
        "max_over_subscription_ratio",
        default="20.0",
        help="How much larger all thin volumes of a pool may be than the pool, or auto.",
    ),
    cfg.BoolOpt(
        "image_volume_cache_enabled",
        default=False,
        help="Keep a volume of each image, of which further ones are cloned instead of copied.",
    ),
)
_MANILA_STANZA: tuple[cfg.Opt, ...] = (
    cfg.StrOpt("share_driver", sample_default=MANILA_DRIVER, help="The driver's class."),
    cfg.StrOpt("share_backend_name", sample_default="gateway", help="What share types call this backend."),
    cfg.BoolOpt(
        "driver_handles_share_servers",
        sample_default=False,
        help="Must be False: shares are served by the gateway's own export servers.",
    ),
    cfg.IntOpt("reserved_share_percentage", default=0, help="How much of each pool is kept free, in percent."),
    cfg.IntOpt(
        "reserved_share_from_snapshot_percentage",
        default=0,
        help="The same for shares that are made of snapshots; 0 for reserved_share_percentage.",
    ),
    cfg.IntOpt(
        "reserved_share_extend_percentage",
        default=0,
        help="The same for shares that grow; 0 for reserved_share_percentage.",
    ),
    cfg.FloatOpt(
        "max_over_subscription_ratio",
        default=20.0,
        help="How much larger all thin shares of a pool may be than the pool.",
    ),
)


def list_cinder() -> list[tuple[cfg.OptGroup, Sequence[cfg.Opt]]]:
    """Give the stanza of a Cinder backend, as the entry point `gateway.cinder` of `oslo.config.opts`."""
    return [(_stanza("enabled_backends"), (*_CINDER_STANZA, *CINDER))]


def list_manila() -> list[tuple[cfg.OptGroup, Sequence[cfg.Opt]]]:
    """Give the stanza of a Manila backend, as the entry point `gateway.manila` of `oslo.config.opts`."""
    return [(_stanza("enabled_share_backends"), (*_MANILA_STANZA, *MANILA))]


def _stanza(owner: str) -> cfg.OptGroup:
    return cfg.OptGroup(
        "gateway",
        title="A gateway's pools",
        help=f"The stanza of one backend. It may have any name; [DEFAULT] {owner} lists those that are used.",
        dynamic_group_owner=owner,
    )
