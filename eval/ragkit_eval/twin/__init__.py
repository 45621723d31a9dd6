"""A loopback server that speaks the providers' wire protocols, with their billing rules and its own invoice.

Everything it says is simulated, and says so. The server and its packages are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ragkit_eval.twin.clock import TwinClock
    from ragkit_eval.twin.faults import Fault
    from ragkit_eval.twin.fixture import RunningTwin, running_twin, start_twin
    from ragkit_eval.twin.invoice import Line
    from ragkit_eval.twin.world import Options

__all__ = ["Fault", "Line", "Options", "RunningTwin", "TwinClock", "running_twin", "start_twin"]

_HOMES = {"TwinClock": "clock", "Fault": "faults", "Line": "invoice", "Options": "world"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'fixture')}"), name)
