"""Channels on which nothing comes: a quiet market, or a channel that died while others live on.

Nothing is sent where nothing changes, so silence alone proves nothing; whoever finds a channel due
here asks for the market itself. Growing pauses between the questions keep a market that is really
quiet cheap, and a channel that stays silent after being subscribed anew is the session's end.
Source: Deribit, notifications; a second subscription without an end of the first sends nothing.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

_PAUSE_S_MAX = 120.0

# Subscribed anew so many times in a row without a word, the session itself is not to be trusted.
REVIVALS_MAX = 2


class _Channel(Struct):
    last: object  # what came last, whatever it is
    due_s: float
    pause_s: float
    revivals: int = 0


class QuietChannels:
    """Follows the channels of one session. Times are loop seconds.

    Args:
        quiet_s: Silence of this length is worth a question.
    """

    def __init__(self, quiet_s: float) -> None:
        self._quiet_s = quiet_s
        self._channels: dict[str, _Channel] = {}

    def look(
        self, watched: Iterable[str], latest: Mapping[str, object], now_s: float
    ) -> tuple[str, ...]:
        """The channels to ask about now.

        Args:
            watched: The channels that the session carries.
            latest: The last thing that came on each; another object means that something came.
        """
        watched = tuple(watched)
        self._channels = {name: self._channels[name] for name in watched if name in self._channels}
        due = []
        for name in watched:
            last = latest.get(name)
            channel = self._channels.get(name)
            if channel is None or channel.last is not last:
                self._channels[name] = _Channel(last, now_s + self._quiet_s, self._quiet_s)
            elif now_s >= channel.due_s:
                due.append(name)
        return tuple(due)

    def found_quiet(self, name: str, now_s: float) -> None:
        """The market has not moved since: ask again, later than this time."""
        channel = self._channels.get(name)
        if channel is not None:
            channel.pause_s = min(channel.pause_s * 2, _PAUSE_S_MAX)
            channel.due_s = now_s + channel.pause_s

    def found_dead(self, name: str, now_s: float) -> bool:
        """The market moved and the channel said nothing. Whether reviving it is worth a try."""
        channel = self._channels.get(name)
        if channel is None:
            return True
        channel.revivals += 1
        channel.due_s = now_s + self._quiet_s
        return channel.revivals <= REVIVALS_MAX
