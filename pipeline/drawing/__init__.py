"""The project's own faces: what one is made of, how it is drawn and photographed, and the faults planted among them."""
