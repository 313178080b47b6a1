"""What holds for every test of the tree."""

from hypothesis import settings

# Properties are judged by their truth, not by the wall clock of a busy machine.
settings.register_profile("vigil", deadline=None)
settings.load_profile("vigil")
