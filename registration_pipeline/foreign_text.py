"""Texts that others wrote: object names, replies of Encord and of stores, errors of libraries.

What belongs here: masking the secrets in them before they are kept or shown, and spelling out what a terminal would obey.
What does not belong here: what the texts mean, and how long they may be (a text is masked before it is cut: half a URL would
hide which parameter its end belongs to).
"""

from __future__ import annotations

import re
from typing import Final

_MASK: Final = "***"

_PERCENT: Final = "%(?:25)*"  # of a URL inside a URL, however often it was encoded
_EQUALS: Final = rf"(?:=|{_PERCENT}3[dD]|\\u003[dD]|&#(?:61|[xX]3[dD]);)"
_QUOTE: Final = r"""\\?["']?"""
_VALUE: Final = rf"""(?:(?!{_PERCENT}26)[^\s"'<>&,;)\]}}\\])"""
_TOKENS: Final = "(?:access|auth|id|refresh|sas|security|session)[_-]?token"
_LONG_NAMES: Final = (
    r"x-[a-z0-9-]{1,40}?(?:signature|credential|token|api-key|customer-key)"
    r"|secret[_-]?access[_-]?key|aws[_-]?access[_-]?key[_-]?id|oss[_-]?access[_-]?key[_-]?id|access[_-]?key[_-]?id"
    r"|account[_-]?key|shared[_-]?access[_-]?(?:key|signature)|client[_-]?secret|private[_-]?key|api[_-]?key|passw(?:or)?d"
    rf"|{_TOKENS}|signature[_-]?provided|google[_-]?access[_-]?id|q-(?:signature|ak)"
)
"""Names of parameters, headers, elements and settings that hold nothing but a credential or a signature."""

_SHORT_NAMES: Final = "sig|signature|token|secret|pwd|credential"
"""Words that people write too: they count only as a parameter, before an equals sign."""

_NOT_IN_A_WORD: Final = r"(?:(?<![A-Za-z0-9_-])|(?<=%26)|(?<=%3[fF])|(?<=2526)|(?<=253[fF])|(?<=u0026))"
_SCHEMES: Final = "AWS4-[A-Z0-9-]+|AWS|Basic|Bearer|Digest|GOOG[A-Z0-9-]+|Negotiate|OBS|OSS|SharedKey(?:Lite)?|Token"
_MASKED: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), replacement)
    for pattern, replacement in (
        (r"(-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----).*?(?:-----END [A-Z0-9 ]{0,40}-----|\Z)", rf"\1 {_MASK}"),
        (r"b3BlbnNzaC1rZXkt(?:[A-Za-z0-9+/=\s]|\\[rn])*", f"{_MASK} "),
        # A container before the @ of Azure's addresses is not a secret; what follows a colon always is.
        (r"(?<![a-z0-9+.-])((?:https?|ftps?|ssh|git|socks5h?)://)[^/\s?#\"'<>]*@", rf"\1{_MASK}@"),
        (r"(://)[^/\s?#\"'<>:@]*:[^/\s?#\"'<>]*@", rf"\1{_MASK}@"),
        (
            rf"(authorization{_QUOTE}\s*[:=]\s*{_QUOTE})(?:(?:{_SCHEMES})\s+{_VALUE}+|{_VALUE}{{16,}})",
            rf"\1{_MASK}",
        ),
        (rf"\b(Bearer|Basic)\s+{_VALUE}{{16,}}", rf"\1 {_MASK}"),
        (rf"(<(?:\w+:)?(?:{_LONG_NAMES}|{_SHORT_NAMES})>)[^<]+", rf"\1{_MASK}"),
        (rf"((?:{_LONG_NAMES})(?:{_EQUALS}|{_QUOTE}\s*[:=]\s*){_QUOTE}){_VALUE}+", rf"\1{_MASK}"),
        (rf"({_NOT_IN_A_WORD}(?:{_SHORT_NAMES}){_EQUALS}{_QUOTE}){_VALUE}+", rf"\1{_MASK}"),
        (r"\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", _MASK),  # a JSON web token
        (r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|ya29\.[A-Za-z0-9_-]{10,}|AIza[A-Za-z0-9_-]{30,})", _MASK),
    )
)
_HINTS: Final = (
    *(
        "sig",
        "token",
        "secret",
        "key",
        "credential",
        "authoriz",
        "access",
        "passw",
        "pwd",
        "bearer",
        "basic",
        "@",
        "q-ak",
    ),
    *("b3blbnnzac1r", "eyj", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "ya29.", "aiza", "akia", "asia"),
)
"""One of these is in every text that one of the patterns matches, in lower case; most texts have none of them."""

_ACCESS_KEY_ID: Final = re.compile(r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{12,}(?::[A-Za-z0-9+/=]+)?")


def masked(text: str) -> str:
    """Return the text with ``***`` in place of what would let a reader act as another.

    That is signatures, credentials and tokens in URLs (also encoded inside another URL, in JSON and in XML), user names and
    passwords before a host, ``Authorization`` headers and bearer tokens, access key ids, and private keys. Every text that was
    written by a service or a library goes through here where it enters; what is compared and not kept, does not.
    """
    lower = text.lower()
    if not any(hint in lower for hint in _HINTS):
        return text
    for pattern, replacement in _MASKED:
        text = pattern.sub(replacement, text)
    return _ACCESS_KEY_ID.sub(_MASK, text)


def kept_cause(error: BaseException) -> BaseException | None:
    """Return the error to raise another one from: None when a text in its chain holds a secret.

    Dagster keeps the texts of all causes, and a report of a bug shows them.
    """
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        text = str(cause)
        if masked(text) != text:
            return None
        cause = cause.__cause__ or cause.__context__
    return error


def printable(text: str) -> str:
    """Return the text with control characters spelled out: keys are opaque, and a terminal would obey them.

    Among them are DEL, the second set of controls (U+0080 to U+009F) and the marks that turn the direction of text.
    Line ends stay.
    """
    return "".join(
        char if char == "\n" or char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
