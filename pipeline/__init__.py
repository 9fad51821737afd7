"""Raw faces in, ranked, honestly evaluated emotion models out: one module per step, in the order the data flows.

draw -> clean -> resize -> train -> evaluate -> rank
"""
