"""Read queries, one module per topic; each list page is one indexed query plus one count."""
