"""Raw images: read from folder or zip, decoded, measured, and judged: junk, duplicates, leaks between splits."""
