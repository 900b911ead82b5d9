"""Rules of passwords (NIST SP 800-63B, section 3.1.1): length counts, composition does not."""

from __future__ import annotations

from dataclasses import dataclass
from unicodedata import normalize

from kerma_auth.domain.names import name_key


@dataclass(frozen=True, slots=True)
class PasswordRules:
    """Lengths, in characters of the normal form, that a new password may have."""

    shortest: int = 8
    longest: int = 128

    def faults(self, password: str, username: str) -> tuple[str, ...]:
        """Return why a new password is refused, () if it is accepted."""
        normal = normal_password(password)
        if not self.shortest <= len(normal) <= self.longest:
            return (f"Must have {self.shortest} to {self.longest} characters.",)
        if name_key(normal) == name_key(username):
            return ("Must differ from the user name.",)
        return ()


def normal_password(password: str) -> str:
    """Return what is hashed: NFKC, so that every keyboard and system yields the same."""
    return normalize("NFKC", password)


def spellings(password: str) -> tuple[str, ...]:
    """Return what may have been hashed; earlier releases hashed passwords as they were typed."""
    return tuple(dict.fromkeys((normal_password(password), password)))
