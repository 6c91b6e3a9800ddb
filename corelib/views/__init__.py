"""What notebooks and the command show: values that render as HTML and as plain text, and the forms of JupyterLab."""

from .document import Code, Note, Page, Table, View

__all__ = ["Code", "Note", "Page", "Table", "View"]
