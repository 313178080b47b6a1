"""`python -m vigil`."""

import sys

from vigil.cli import main

if __name__ == "__main__":
    sys.exit(main())
