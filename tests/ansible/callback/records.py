"""Shows what each task gave as one line of JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: records
    type: stdout
    short_description: One line of JSON per task
    description: Its name, what became of it, and what its module returned.
"""


class CallbackModule(CallbackBase):
    """Ansible finds it by this name."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "records"

    def v2_runner_on_ok(self, result: Any) -> None:
        self._show("ok", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:  # noqa: ARG002 - called by name
        self._show("failed", result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._show("unreachable", result)

    def _show(self, outcome: str, result: Any) -> None:
        returned = {name: value for name, value in result.result.items() if name != "invocation"}
        sys.stdout.write(f"{json.dumps({'task': result.task_name, 'outcome': outcome, 'returned': returned})}\n")
        sys.stdout.flush()
