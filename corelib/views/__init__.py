"""What notebooks and the command show: values that render as HTML and as plain text, and the forms of JupyterLab."""

from .document import Code, Fold, Note, Page, Table, View

__all__ = ["Code", "Fold", "Note", "Page", "Table", "View"]
