"""The forms of JupyterLab: choose the environment, approve a plan by typing its environment's name.

A cell that runs cannot hear a form (the kernel does one thing at a time): a form only remembers what was chosen, and
says which cell to run next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
from IPython.display import display

from ..plan import Plan
from .document import View


@dataclass(frozen=True)
class WithForm:
    """A view with a form below it; shown as two outputs of one cell."""

    view: View
    box: widgets.Widget

    def _ipython_display_(self) -> None:
        display(self.view, self.box)


def environments(names: Sequence[str], chosen: str, choose: Callable[[str], None]) -> widgets.Widget:
    """A list of environments; choosing one takes effect when the parameters' cell is run again."""
    choice = widgets.Dropdown(
        options=list(names), value=chosen, description="environment", style={"description_width": "8em"}
    )
    said = widgets.HTML()

    def changed(change: dict[str, Any]) -> None:
        choose(change["new"])
        said.value = f"Now run this cell again, and those below: they will work on <b>{change['new']}</b>."

    choice.observe(changed, names="value")
    return widgets.HBox([choice, said])


def approval(plan: Plan, approve: Callable[[Plan, tuple[str, ...]], None]) -> widgets.Widget:
    """A field for the environment's name, one for each consent, and a button that approves exactly this plan."""
    wide = {"description_width": "8em"}
    name = widgets.Text(description="environment", placeholder="type its name", style=wide)
    consents = [
        widgets.Text(
            description="consent", placeholder=f"type: {text}", style=wide, layout=widgets.Layout(width="40em")
        )
        for text in plan.consents
    ]
    button = widgets.Button(description="Approve", button_style="warning", tooltip=plan.digest)
    said = widgets.HTML()

    def clicked(_: Any) -> None:
        given = tuple(field.value.strip() for field in consents)
        if name.value.strip() != plan.environment:
            said.value = f"Not approved: this plan is for <b>{plan.environment}</b>; type that name."
        elif given != plan.consents:
            said.value = "Not approved: a consent differs from what it must say, letter by letter."
        else:
            approve(plan, given)
            button.disabled, button.description, button.button_style = True, "Approved", "success"
            said.value = f"Approved: {plan.digest}. Now run the next cell."

    button.on_click(clicked)
    title = widgets.HTML(f"Approve <b>{plan.digest}</b> by typing the environment's name:")
    return widgets.VBox([title, name, *consents, button, said])
