"""The paper exchange, a person's access to it and a strategy package, as acceptance has them."""

from fixtures import account, paper, plugin

__all__ = ["account", "paper", "plugin"]
