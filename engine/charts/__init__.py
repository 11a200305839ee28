"""Altair charts of result tables, used on the pages and for the exported PNGs."""
