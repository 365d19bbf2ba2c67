"""LOBSTER files to exact, windowed, device-ready order flow."""

from lob_data.calibration import Calibration, calibrate, load_calibration
from lob_data.errors import FormatError, LobDataError, OptionError, SourceError, StoreError
from lob_data.manifest import Manifest, PrepareOptions
from lob_data.prepare import PrepareReport, prepare, verify
from lob_data.store import Store, open_store
from lob_data.synthesize import SynthesisReport, synthesize
from lob_data.verify import VerifyReport

__all__ = [
    "Calibration",
    "FormatError",
    "LobDataError",
    "Manifest",
    "OptionError",
    "PrepareOptions",
    "PrepareReport",
    "SourceError",
    "Store",
    "StoreError",
    "SynthesisReport",
    "VerifyReport",
    "calibrate",
    "load_calibration",
    "open_store",
    "prepare",
    "synthesize",
    "verify",
]
