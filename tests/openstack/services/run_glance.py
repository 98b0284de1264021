"""Glance's API, with images as files and without Keystone: `run_glance.py FOLDER PORT`."""

from __future__ import annotations

import os
import sys
import warnings

warnings.simplefilter("ignore")

from serving import serve  # noqa: E402


def main(folder: str, port: str) -> None:
    os.environ["OS_GLANCE_CONFIG_DIR"] = folder
    from glance.common import wsgi_app  # noqa: PLC0415 - it reads the environment
    from glance.db.sqlalchemy import api, models  # noqa: PLC0415

    application = wsgi_app.init_app()
    models.BASE.metadata.create_all(api.get_engine())
    serve(application, int(port))


if __name__ == "__main__":
    main(*sys.argv[1:])
