"""Start the page: settings from the environment, page, server; also a Space's entry point."""

import gc
import os
import sys

if __name__ == "__main__":
    # All that is imported and built stays: to look for garbage in it is a fifth of the start.
    # `serve` switches the looking on again when the page stands.
    gc.disable()
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from qeu.core.errors import QeuError
from qeu.core.settings import Settings
from qeu.ui.app import serve

if __name__ == "__main__":
    try:
        serve(Settings.from_env(os.environ))
    except QeuError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)  # Ctrl-C while still starting: nothing to keep, nothing to explain
