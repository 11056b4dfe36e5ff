"""Text of others on a terminal, printed literally.

Names of files, classes and tags, notes, errors and logs come from files, clients and people. A
terminal takes control characters among them for commands: it clears lines, changes its title, or
inserts input.
"""

from __future__ import annotations

import re

# C0 and C1 but tab and end of line; marks that turn the direction of writing, so that text reads as
# another one; marks that some terminals take for the end of a line
_ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    r"""Return text that a terminal only prints.

    Control characters are escaped, as `\x1b`.
    """
    return _ACTING.sub(lambda found: ascii(found[0])[1:-1], text.replace("\r\n", "\n"))


def printable_log(text: str) -> str:
    """Return the output of a program as `printable` does.

    A line that it wrote over, as progress bars do, stays.
    """
    return printable(text.replace("\r\n", "\n").replace("\r", "\n"))
