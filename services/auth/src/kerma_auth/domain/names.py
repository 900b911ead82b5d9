"""Rules of user names, so that no two users have names that people take for the same.

A name follows the UsernameCasePreserved profile of RFC 8265 (PRECIS): letters, digits and ASCII
punctuation in normal form, with single spaces between its parts. Beyond that its letters belong to
one script, and they must not all look like ASCII ones (Unicode UTS 39, section 4).
Names that are equal after NFKC and case folding are the same name.
"""

from __future__ import annotations

from unicodedata import normalize

from precis_i18n import get_profile

MAX_NAME = 128
NO_SPACES = "Must not begin or end with a space, or contain two in a row."
NO_SUCH_CHARACTERS = "May contain letters, digits, . - _ @ and similar signs, and single spaces."
ONE_SCRIPT = "Must not mix letters of several scripts."
LOOKS_ASCII = "Must not look like a name in plain Latin letters."
_PART = get_profile("UsernameCasePreserved")
# UTS 39, section 5.1: scripts that one language writes together.
_TOGETHER = (
    frozenset({"HAN", "HIRAGANA", "KATAKANA"}),
    frozenset({"HAN", "BOPOMOFO"}),
    frozenset({"HAN", "HANGUL"}),
)
_ANY_SCRIPT = frozenset({"COMMON", "INHERITED"})


class BadName(ValueError):  # noqa: N818 - says what is wrong
    """The text cannot be the name of a new user; the message says why."""


def name_key(username: str) -> str:
    """Return what equal names have in common: NFKC and full case folding, twice until stable."""
    folded = normalize("NFKC", username).casefold()
    return normalize("NFKC", folded)


def new_name(username: str) -> str:
    """Return the normal form of a name that a new user may have. Raises BadName."""
    if not 0 < len(username) <= MAX_NAME:
        raise BadName(f"Must have 1 to {MAX_NAME} characters.")
    parts = username.split(" ")
    if not all(parts):
        raise BadName(NO_SPACES)
    try:
        name = " ".join(_PART.enforce(part) for part in parts)
    except UnicodeEncodeError:
        raise BadName(NO_SUCH_CHARACTERS) from None
    if len(name) > MAX_NAME:
        raise BadName(f"Must have 1 to {MAX_NAME} characters.")
    if not name.isascii():
        _check_scripts(name)
    return name


def _check_scripts(name: str) -> None:
    # Its tables take 18 MB and 0.2 s to load, and most names do not need them.
    from confusable_homoglyphs import categories, confusables

    letters = [char for char in name if categories.alias(char) not in _ANY_SCRIPT]
    scripts = frozenset(categories.alias(char) for char in letters)
    if len(scripts) > 1 and not any(scripts <= together for together in _TOGETHER):
        raise BadName(ONE_SCRIPT)
    alike = confusables.confusables_data
    if letters and all(char.isascii() or _looks_ascii(alike.get(char, ())) for char in letters):
        raise BadName(LOOKS_ASCII)


def _looks_ascii(alike: object) -> bool:
    assert isinstance(alike, list | tuple)
    return any(str(found["c"]).isascii() for found in alike)
