"""What the numbers were measured on, without the machine's name."""

import os
import platform
import sysconfig
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

LIBRARIES = ("dealgate", "durable-rules", "zen-engine", "rule-engine", "pydantic", "sqlalchemy")


def describe() -> str:
    """One paragraph."""
    gigabytes = psutil.virtual_memory().total / (1 << 30)
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC: {os.cpu_count()} cores of {_processor()}, {gigabytes:.0f} GB, "
        f"{platform.system()}, {platform.python_implementation()} {platform.python_version()} ({_build()}). {versions}. "
        f"Load average at the start {LOAD_AT_START:.1f}."
    )


LOAD_AT_START = os.getloadavg()[0]


def _processor() -> str:
    """The processor's name as the system gives it."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _build() -> str:
    """Whether the interpreter says it was built with profile-guided optimisation, which is worth a quarter and more."""
    options = sysconfig.get_config_var("CONFIG_ARGS") or ""
    optimised = "with" if "--enable-optimizations" in options else "not configured with"
    return f"{platform.python_compiler()}, {optimised} --enable-optimizations"
