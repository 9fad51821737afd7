"""Pictures in, faces and their apparent expressions out: what the service and the campaign report are made of.

Nothing here needs TensorFlow: the exported model and the face detector are LiteRT files.
"""
