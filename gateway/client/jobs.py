from __future__ import annotations

from gateway.client.flows import finished
from gateway.client.flows import job as show
from gateway.client.flows import jobs as every

__all__ = ["every", "finished", "show"]
