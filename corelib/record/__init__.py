"""Records: the journal of each run, its outcome, and the list of runs. Plain Python, no Jupyter."""

from .journal import Journal, read
from .listing import Record, records
from .outcome import Outcome, outcome

__all__ = ["Journal", "Outcome", "Record", "outcome", "read", "records"]
