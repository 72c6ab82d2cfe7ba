"""``python -m xfunc_core``."""

import sys

from xfunc_core.cli import main

sys.exit(main())
