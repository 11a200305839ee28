"""The pages, one file each: filters, query, view."""
