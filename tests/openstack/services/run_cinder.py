"""Cinder's API, scheduler and volume services in one process: `run_cinder.py cinder.conf PORT`.

One process, because the transport between them is in its memory. It has green
threads, as Cinder has by itself, unless the environment says otherwise
(OS_CINDER_DISABLE_EVENTLET_PATCHING).
"""

from __future__ import annotations

import sys
import warnings

warnings.simplefilter("ignore")

from cinder import monkey_patch  # noqa: E402

monkey_patch.patch()

import os_brick  # noqa: E402
from cinder import coordination, i18n, objects, rpc, service, version  # noqa: E402
from cinder.cmd import volume as command  # noqa: E402
from cinder.common import config, constants  # noqa: E402
from cinder.db import migration  # noqa: E402
from oslo_config import cfg  # noqa: E402
from oslo_log import log  # noqa: E402
from oslo_privsep import priv_context  # noqa: E402
from oslo_service import wsgi  # noqa: E402
from serving import end_with_parent, serve  # noqa: E402


def configure(file: str) -> cfg.ConfigOpts:
    i18n.enable_lazy()
    objects.register_all()
    cfg.CONF(["--config-file", file], project="cinder", version=version.version_string())
    config.set_middleware_defaults()
    log.setup(cfg.CONF, "cinder")
    os_brick.setup(cfg.CONF)
    # We are root already.
    priv_context.init(root_helper=["env"])
    return cfg.CONF


def start(conf: cfg.ConfigOpts) -> list[service.Service]:
    coordination.COORDINATOR.start()
    rpc.init(conf)
    services = [service.Service.create(binary=constants.SCHEDULER_BINARY)]
    for backend in conf.enabled_backends:
        conf.register_opt(command.host_opt, group=backend)
        host = f"{conf[backend].backend_host or conf.host}@{backend}"
        services.append(service.Service.create(host=host, service_name=backend, binary=constants.VOLUME_BINARY))
    for one in services:
        one.start()
    return services


def main(file: str, port: str) -> None:
    end_with_parent()
    conf = configure(file)
    if port == "migrate":
        migration.db_sync()
        return
    services = start(conf)
    serve(wsgi.Loader(conf).load_app(name="osapi_volume"), int(port), services=services)


if __name__ == "__main__":
    main(*sys.argv[1:])
