"""Files that are nearly right, opened as the commands do: each is read, or refused with an error of ours."""
