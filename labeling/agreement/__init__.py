"""How far the labels of a project can be trusted, and who needs help: what the community edition lacks."""

from labeling.agreement.measure import measure_agreement, print_agreement
from labeling.agreement.page import write_agreement

__all__ = ["measure_agreement", "print_agreement", "write_agreement"]
