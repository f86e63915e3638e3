"""Which categories people and model cannot tell apart, or treat as two: suggestions to the schema's owner."""

from labeling.clinic.examine import examine
from labeling.clinic.report import ClinicReport, print_clinic, write_clinic

__all__ = ["ClinicReport", "examine", "print_clinic", "write_clinic"]
