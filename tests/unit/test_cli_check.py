"""What `gateway check` prints."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from gateway.cli import main
from gateway.cli.service import capability_table
from gateway.core.capability import NO_SUCH_OPERATION

MATRIX = {
    "disk": {
        "filesystem": {"snapshot": "a tree", "clone": "a tree", "shrink": "yes", "clone_needs_snapshot": "no"},
        "block": {"snapshot": "yes", "clone": NO_SUCH_OPERATION, "shrink": "no", "clone_needs_snapshot": "no"},
    },
    "blocks": {"block": {"snapshot": "yes", "clone": "yes", "shrink": "no", "clone_needs_snapshot": "no"}},
}


def test_the_table_names_each_pool_once_and_each_reason_once() -> None:
    assert capability_table(MATRIX).splitlines() == [
        "pool      disk               blocks",
        "          filesystem  block  block",
        "snapshot  -           yes    yes",
        "clone     -           -      yes",
        "shrink    yes         -      -",
        "",
        "disk filesystem: no snapshot, clone: a tree",
    ]


def test_a_restriction_is_shown_where_there_is_one() -> None:
    able = {"zfs": {"block": {"clone": "yes", "clone_needs_snapshot": "yes"}}}
    assert capability_table(able).splitlines()[-1] == "clone_needs_snapshot  yes"


def test_a_configuration_that_works(tmp_path: Path) -> None:
    assert CliRunner().invoke(main, ["init", "--config-dir", str(tmp_path), "--pool", "tried=memory"]).exit_code == 0
    config = tmp_path / "config.toml"
    # Without NFS, which only root may serve.
    config.write_text(config.read_text().partition("[export.nfs]")[0])
    result = CliRunner().invoke(main, ["check", "--config", str(config)])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("pool ")
    assert "tried block: no permissions: a block volume has no top directory\n" in result.output
    assert result.output.endswith(
        "\n\nremark: backend.tried: its volumes are gone when the gateway ends\nAll is well.\n"
    )
    result = CliRunner().invoke(main, ["check", "--config", str(config), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["remarks"] == ["backend.tried: its volumes are gone when the gateway ends"]
