"""The one exception that means "the user can mend this"."""


class UserError(Exception):
    """A user's mistake: its text is one line that names the file or value, what was expected and what to do.

    `pipeline.running.cli.run` prints it without a traceback and exits with status 2. Anything else that is raised is a
    fault of the program and keeps its traceback.
    """
