"""The version, told to people, to systemd and to whoever is refused the lease.

Written here and read by the build: looking up installed metadata costs more than a start should.
"""

VERSION = "0.1.0"
