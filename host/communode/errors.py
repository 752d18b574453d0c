# SPDX-License-Identifier: MIT
"""The one exception for what a user or the world can cause, with a stable code and a remedy.

Anything else that escapes is a defect of communode. Texts live in the message catalogue under
``<code>.message`` and ``<code>.remedy``.
"""

from __future__ import annotations

from typing import Any

from communode.messages import text


class CommunodeError(Exception):
    """A failure with a stable ``code`` (say ``board.unknown``) and the values its texts name.

    Exit status: 2 when ``usage`` (wrong usage or unreadable input), else 1.
    """

    def __init__(self, code: str, *, usage: bool = False, **values: Any) -> None:
        super().__init__(code)
        self.code = code
        self.usage = usage
        self.values = values

    @property
    def message(self) -> str:
        """What happened, in the user's language."""
        return text(f"{self.code}.message", **self.values)

    @property
    def remedy(self) -> str:
        """What to do about it, in the user's language."""
        return text(f"{self.code}.remedy", **self.values)

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}"

    def as_json(self) -> dict[str, Any]:
        """The failure object of ``--json``."""
        error = {"code": self.code, "message": self.message, "remedy": self.remedy}
        return {"schema": 1, "ok": False, "error": error}
