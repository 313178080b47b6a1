"""Error codes and their words, for errors that are told and not meant.

Source: Deribit API v2, RPC error codes.
"""

import random

from vigil.paper.refusals import WORDS

_NEW_CODES = (19_000, 19_999)
_NEW_WORDS = ("risk_engine_asleep", "quota_of_tomorrow", "rejected_by_oracle", "see_other")


def word_of(code: int) -> str:
    """The word that goes with a code."""
    return WORDS.get(code, "error")


def odd_error(oddity: str, dice: random.Random) -> tuple[int, str]:
    """A code that nobody has seen, or a known one with another one's word."""
    if oddity == "either":
        oddity = dice.choice(("new", "contradictory"))
    if oddity == "new":
        return dice.randint(*_NEW_CODES), dice.choice(_NEW_WORDS)
    code, other = dice.sample(sorted(WORDS), 2)
    return code, WORDS[other]
