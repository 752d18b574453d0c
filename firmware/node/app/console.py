# SPDX-License-Identifier: MIT
# The technician's console on the serial port: a few words, answered in lines of `key value`. Pure.
#
# Not here: reading the port (app/cycle.py polls it), what the answers are made of (handed in as functions).
# It is offered in the window after power-on and reset; the prompt of MicroPython stays one Ctrl-C away.
# No command shows a key. Answers are English key words, as every log line; translating them is the host's.

LINE_LIMIT = 80
IDLE_MS = 300000  # a session that nobody uses ends
LONGEST_MS = 3600000  # and so does one with a line that is open and hears noise


class Console:
    """`commands` is {word: (function(list of words) -> list of lines, help)}."""

    def __init__(self, commands: dict) -> None:
        self._commands = commands
        self.done = False

    def execute(self, line: str) -> list:
        """The answer to one line; never raises."""
        words = line.strip().split()
        if not words:
            return []
        word = words[0].lower()
        if word in ("exit", "quit"):
            self.done = True
            return ["ok"]
        if word in ("help", "?"):
            names = sorted(self._commands)
            return [name + "  " + self._commands[name][1] for name in names] + ["exit  leave the console"]
        if word not in self._commands:
            return ["error unknown_command", "try help"]
        try:
            return self._commands[word][0](words[1:])
        except (ValueError, OSError) as error:
            return ["error " + str(error)]


class LineReader:
    """Puts bytes together into lines; overlong ones are cut, control characters dropped."""

    def __init__(self) -> None:
        self._text = ""

    def take(self, text: str) -> "str | None":
        """Add what was read; a complete line, or None."""
        for character in text:
            if character in "\r\n":
                line = self._text
                self._text = ""
                if line:
                    return line
            elif " " <= character <= "~" and len(self._text) < LINE_LIMIT:
                self._text += character
        return None
