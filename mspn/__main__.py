"""``python -m mspn`` is the same as ``mspn``."""

import sys

from mspn.commands.cli import main

sys.exit(main())
