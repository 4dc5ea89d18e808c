"""Fixtures of the whole suite; nothing here reaches the network on its own."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Heard only before torch is imported: waiting threads sleep, so parallel tests do not stall.
os.environ.setdefault("GOMP_SPINCOUNT", "0")


@pytest.fixture(scope="session")
def cache_dir() -> Path:
    """The weights cache of this machine: QEU_CACHE or the ordinary place."""
    from qeu.core.settings import Settings

    return Settings.from_env(os.environ).cache_dir


@pytest.fixture(scope="session")
def embedded_path(cache_dir: Path) -> Path:
    """The embedded model's folder, fetched as a user's first start would fetch it."""
    from qeu.backends.weights import fetch_embedded, find_embedded

    return find_embedded(cache_dir) or fetch_embedded(cache_dir, lambda progress: None, None)
