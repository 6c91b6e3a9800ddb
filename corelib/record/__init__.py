"""Records: the journal of each run, its outcome, and the list of runs. Plain Python, no Jupyter."""

from .journal import Journal, JournalError, Unwritten, read
from .listing import Record, record, records
from .outcome import Outcome, outcome

__all__ = ["Journal", "JournalError", "Outcome", "Record", "Unwritten", "outcome", "read", "record", "records"]
