"""Figures, tests, plots and pages: of one run and of many, and what all pages are made with."""
