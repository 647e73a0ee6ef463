"""Documents: from a page, a photograph or a PDF to text that a person can search."""
