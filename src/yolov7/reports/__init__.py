"""Reports of evaluations and trainings: pages of one file each, with plots and pictures."""
