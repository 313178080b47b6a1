"""See `fixtures`, which other folders share."""

from fixtures import account, paper, plugin, vigil

__all__ = ["account", "paper", "plugin", "vigil"]
