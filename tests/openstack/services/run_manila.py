"""Manila's API, scheduler, share and data services in one process: `run_manila.py manila.conf PORT`.

One process, because the transport between them is in its memory.
"""

from __future__ import annotations

import sys
import warnings

warnings.simplefilter("ignore")

from manila import monkey_patch  # noqa: E402

monkey_patch.patch()

from manila import rpc, service, version  # noqa: E402
from manila.common import config  # noqa: E402
from manila.db import migration  # noqa: E402
from oslo_config import cfg  # noqa: E402
from oslo_log import log  # noqa: E402
from oslo_service import wsgi  # noqa: E402
from serving import end_with_parent, serve  # noqa: E402


def configure(file: str) -> cfg.ConfigOpts:
    log.register_options(cfg.CONF)
    cfg.CONF(["--config-file", file], project="manila", version=version.version_string())
    config.verify_share_protocols()
    config.set_lib_defaults()
    log.setup(cfg.CONF, "manila")
    return cfg.CONF


def start(conf: cfg.ConfigOpts) -> list[service.Service]:
    rpc.init(conf)
    services = [service.Service.create(binary="manila-scheduler")]
    services += [
        service.Service.create(
            host=f"{conf.host}@{backend}", service_name=backend, binary="manila-share", coordination=True
        )
        for backend in conf.enabled_share_backends
    ]
    services.append(service.Service.create(binary="manila-data"))
    for one in services:
        one.start()
    return services


def main(file: str, port: str) -> None:
    end_with_parent()
    conf = configure(file)
    if port == "migrate":
        migration.upgrade("head")
        return
    services = start(conf)
    serve(wsgi.Loader(conf).load_app(name="osapi_share"), int(port), services=services)


if __name__ == "__main__":
    main(*sys.argv[1:])
