"""How a step is started, identified, tracked and written: nothing here decides a result."""
