"""Cinder patches the standard library for green threads unless it is told not to; the client does not mind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway

GREEN = """
import json, sys
from cinder.cmd import volume as command
import eventlet
from eventlet import patcher, tpool
from cinder.volume import configuration, driver
from gateway.client import native
from gateway.frontends.openstack.connection import connect
from gateway.frontends.openstack.options import CINDER
command.CONF(["--config-file", sys.argv[1]], project="cinder")
command.CONF.register_opts(CINDER, group=configuration.SHARED_CONF_GROUP)
options = configuration.Configuration(driver.volume_opts, config_group="gateway")
options.append_config_values(CINDER)
client = connect(options)
def make(number):
    new = native.NewVolume(name=f"v{number}", tenant="svm1", pool="memory", size=1 << 30, kind="block")
    return client.run(native.create_volume(new)).name
made = list(eventlet.GreenPool(20).imap(make, range(40)))
pools = tpool.execute(client.run, native.pools())
print(json.dumps([patcher.is_monkey_patched("socket"), made, [pool.name for pool in pools]]))
"""


def test_many_green_threads_share_a_client(tmp_path: Path) -> None:
    gateway = LiveGateway(tmp_path / "gateway", tls=True)
    (tmp_path / "password").write_text(PASSWORD)
    try:
        lines = {
            "gateway_url": gateway.start(),
            "gateway_user": ACCOUNT,
            "gateway_password_file": tmp_path / "password",
            "gateway_ca": gateway.folder / "cert.pem",
        }
        file = tmp_path / "cinder.conf"
        file.write_text("[gateway]\n" + "".join(f"{name} = {value}\n" for name, value in lines.items()))
        program = [sys.executable, "-W", "ignore", "-c", GREEN, str(file)]
        done = subprocess.run(program, capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1]) == [True, [f"v{number}" for number in range(40)], ["memory"]]
    finally:
        gateway.kill()
