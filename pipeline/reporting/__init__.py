"""What was found over many runs: read from MLflow, compared, drawn, and told on one page."""
