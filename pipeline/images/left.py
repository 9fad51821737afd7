"""Files and folders that are nobody's work: operating systems and storage devices leave them by themselves."""

LEFT = {"__MACOSX", ".DS_Store", "Thumbs.db", "thumbs.db", "desktop.ini", "@eaDir"}  # the last by Synology's


def is_left(name: str) -> bool:
    """Whether a name is one of those, or LibreOffice's while a file there is open."""
    return name in LEFT or name.startswith("._") or (name.startswith(".~lock.") and name.endswith("#"))
