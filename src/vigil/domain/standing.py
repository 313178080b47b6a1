"""What a strategy should be doing, and what it is doing: the words that people see."""

from enum import StrEnum


class DesiredStatus(StrEnum):
    """What the operator wants of a strategy."""

    ACTIVE = "active"
    PAUSED = "paused"  # protects an open position, opens none
    STOPPED = "stopped"


class AnalysisState(StrEnum):
    """What a strategy is doing."""

    INITIALIZING = "initializing"
    ANALYZING = "analyzing"
    SIGNAL_DETECTED = "signal_detected"
    POSITION_OPEN = "position_open"
    COOLDOWN = "cooldown"
    PAUSED = "paused"
    STOPPED = "stopped"
    ERROR = "error"
