"""``python -m alloyd``, and what the executable runs."""

from __future__ import annotations

import sys

# Asking for the version is what scripts do most often: it must not wait for the whole program to be loaded.
if sys.argv[1:] in (["version"], ["--version"]):
    from alloyd.cli.version import main
else:
    from alloyd.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
