"""Sessions that outlive their connection, for requests that are carried out too late. Pure."""

import copy

from vigil.paper.session.sessions import Session


def ghost_of(session: Session) -> Session:
    """The session as it is now: what becomes of its connection and login no longer matters."""
    ghost = copy.copy(session)
    ghost.token = copy.copy(session.token)
    return ghost
