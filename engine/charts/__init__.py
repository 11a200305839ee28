"""How figures look: tables of results -> Altair charts, the same on the pages and in the exported PNGs."""
