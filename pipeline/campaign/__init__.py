"""The report on a campaign: what lies in its source, what its faces seem to express, and the tables and page of it.

Needs the extra `serve` and nothing of TensorFlow, as the service.
"""
