"""The project's handbook: docs/ and what is generated from the code, as a site, as man pages, as shell completion."""
