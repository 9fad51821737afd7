"""Files and folders that are nobody's work: operating systems and storage devices leave them by themselves."""

LEFT = {"__MACOSX", ".DS_Store", "Thumbs.db", "thumbs.db", "desktop.ini", "@eaDir"}  # the last by Synology's


def is_left(name: str) -> bool:
    """Whether a file of that name is nobody's work; LibreOffice leaves one, too, while it has a file open."""
    return name in LEFT or name.startswith("._") or (name.startswith(".~lock.") and name.endswith("#"))
