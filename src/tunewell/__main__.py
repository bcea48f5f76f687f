"""``python -m tunewell`` is ``tunewell``."""

import sys

from tunewell.cli import main

sys.exit(main())
