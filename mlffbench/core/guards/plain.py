"""Plain text: what came from a file, a model or a server cannot act on who reads it.

Control characters start escape sequences of terminals, marks of direction show a name
backwards, and a cell that begins like a formula is one to a spreadsheet.
"""

import html
import json
import re
from typing import Any

LONGEST = 2_000
"""Characters of a sentence."""
_LONGEST_REASON = 200
UNSEEN = re.compile(
    "[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202f"
    "\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Control characters, marks of direction, what has no width, halves of characters."""
_FORMULAS = "=+-@\uff1d\uff0b\uff0d\uff20"
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s'\"<>]+")
_USER = re.compile(r"^([^/]*//)[^/?#]*@")
_SECRET = re.compile(r"([?&](?!download=)[^=&#]+=)[^&#)]+")
_BREAKS = re.compile("[\t\n\r\u2028\u2029\u0085\u000b\u000c]+")


def plain(text: object) -> str:
    r"""Return text on one line, in which every character is seen.

    Breaks become a blank, other characters that are not seen become �.

    Example:
        >>> plain("a\x1b[31m\nb")
        'a�[31m b'
    """
    return UNSEEN.sub("\ufffd", _BREAKS.sub(" ", str(text)))


def first_line(error: BaseException) -> str:
    r"""Return the first line of what an exception says, else its name; never a long one.

    Example:
        >>> first_line(ValueError("no lib\nmore")), first_line(KeyError())
        ('no lib', 'KeyError')
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:_LONGEST_REASON]


def plain_lines(text: str) -> str:
    r"""Return text whose line breaks are kept and whose lines are plain.

    Example:
        >>> plain_lines("a\u202e\nb")
        'a�\nb'
    """
    return "\n".join(map(plain, text.split("\n")))


def counted(n: int, what: str) -> str:
    """Return a number of things in words.

    Example:
        >>> counted(1, "structure"), counted(1200, "molecule")
        ('1 structure', '1,200 molecules')
    """
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def sentence(text: object, longest: int = LONGEST) -> str:
    """Return a plain sentence without credentials; of a long one, beginning and end.

    Example:
        >>> sentence("a" * 60 + "b", 40)
        'aaaaaaaaaa … 41 characters … aaaaaaaaab'
    """
    whole = without_credentials(plain(text))
    if len(whole) <= longest:
        return whole
    room = (longest - len(f" … {len(whole)} characters … ")) // 2
    left_out = len(whole) - 2 * room
    return f"{whole[:room]} … {left_out} characters … {whole[-room:]}"


def without_credentials(text: str) -> str:
    """Return text whose addresses name no user, password, key or token.

    Example:
        >>> without_credentials("https://me:secret@host/a?token=abc")
        'https://host/a?token=…'
    """
    return _ADDRESS.sub(
        lambda found: _SECRET.sub(r"\1…", _USER.sub(r"\1", found[0])), text
    )


def csv_cell(value: object) -> object:
    """Return what a cell holds; text is plain and no spreadsheet takes it for a formula.

    Example:
        >>> csv_cell("=1+1"), csv_cell(-1.5)
        ("'=1+1", -1.5)
    """
    if not isinstance(value, str):
        return value
    shown = plain(value)
    return f"'{shown}" if shown.lstrip(" '\ufffd")[:1] in {*_FORMULAS} else shown


def markdown_cell(text: object) -> str:
    r"""Return text as Markdown shows it: no HTML, no link or picture, no end of a cell.

    Example:
        >>> markdown_cell("<b>|![x](y)")
        '&lt;b&gt;\\|![x]\\(y)'
    """
    shown = html.escape(plain(text), quote=False).replace("\\", "\\\\")
    return shown.replace("|", "\\|").replace("](", "]\\(").replace("`", "\\`")


def json_text(content: Any, *, indent: int) -> str:
    r"""Return JSON in which every character is seen; what is not is written as ``\u…``.

    Reading it gives the content back as it was.
    """
    text = json.dumps(content, indent=indent, ensure_ascii=False)
    # json has escaped the breaks that are of the content
    return "\n".join(map(escaped, text.split("\n")))


def escaped(text: str) -> str:
    """Return a line of JSON or of a script with all that is not seen as an escape."""
    return UNSEEN.sub(lambda found: json.dumps(found[0])[1:-1], text)
