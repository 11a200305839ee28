"""Documents for people: contact sheets, Markdown reports, model cards."""
