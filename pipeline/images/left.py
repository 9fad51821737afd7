"""Files and folders that are nobody's work: operating systems and storage devices leave them by themselves."""

LEFT = {"__MACOSX", ".DS_Store", "Thumbs.db", "thumbs.db", "desktop.ini", "@eaDir"}  # the last by Synology's


def is_left(name: str) -> bool:
    """Whether a name is one of those."""
    return name in LEFT or name.startswith("._")
