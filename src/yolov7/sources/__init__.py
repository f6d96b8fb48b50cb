"""Images from files, folders, videos, URLs, cameras, arrays: one at a time, read ahead."""
