"""Images from files, folders, videos, URLs, cameras, arrays: one after the other, read ahead."""
