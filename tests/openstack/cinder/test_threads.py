"""The driver in both of the ways in which cinder-volume runs: green threads, as usual, and native ones."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cinder_scene import MEMORY, TENANT, client

from gateway.client import native
from gateway.testing.live import LiveGateway, live_gateway

HERE = Path(__file__).parent
PROGRAM = """
import os, sys, warnings

warnings.simplefilter("ignore")
model, url = sys.argv[1:]
os.environ["OS_CINDER_DISABLE_EVENTLET_PATCHING"] = str(model == "threading")
from cinder import monkey_patch

monkey_patch.patch(model)
sys.path[:0] = [{here!r}, {clients!r}]
import threading

from cinder_scene import snapshot, started, volume
from oslo_utils import eventletutils

assert eventletutils.is_monkey_patched("thread") is (model == "eventlet")
left = []

def live(driver):
    disk = volume(driver)
    taken = snapshot(disk, driver)
    copy = volume(size=2)
    copy.update(driver.create_volume_from_snapshot(copy, taken))
    driver.extend_volume(disk, 3)
    driver.delete_volume(copy)
    driver.delete_snapshot(taken)
    left.append(disk.name)

with started(url) as driver:
    threads = [threading.Thread(target=live, args=(driver,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    driver.get_volume_stats(refresh=True)
    for thread in threads:
        thread.join()
print(*sorted(left))
"""


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """Give a gateway in a process of its own: patched threads are no place for it."""
    with live_gateway(tmp_path_factory.mktemp("gateway"), pools=MEMORY) as gateway:
        yield gateway


@pytest.mark.parametrize("model", ["eventlet", "threading"])
def test_calls_of_several_threads_go_through(process: LiveGateway, model: str) -> None:
    program = PROGRAM.format(here=str(HERE), clients=str(HERE.parents[1] / "clients"))
    done = subprocess.run(
        [sys.executable, "-c", program, model, process.url], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    names = done.stdout.split()
    assert len(names) == 6
    with client(process.url) as gw:
        assert sorted(one.name for one in gw.each(native.volumes(tenant=TENANT))) == names
        for name in names:
            found = gw.run(native.volume_named(name, tenant=TENANT))
            assert found is not None
            gw.run(native.delete_volume(found.id))
