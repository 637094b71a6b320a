"""What the library is called where it writes the names of its types: ``chainrule``, or ``torch`` when it stands in for that."""

library = "chainrule"
