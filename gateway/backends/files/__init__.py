"""What pools of ordinary files and directories are made of; for the backends beside it, not for outsiders."""

from __future__ import annotations
