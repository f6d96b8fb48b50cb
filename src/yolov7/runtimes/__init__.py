"""Networks on other runtimes: one file for each, and the description that travels in every artefact."""
