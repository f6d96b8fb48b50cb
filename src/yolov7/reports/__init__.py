"""Reports of evaluations and training runs: self-contained HTML pages with plots and pictures."""
