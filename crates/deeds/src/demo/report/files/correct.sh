#!/bin/sh
# Takes the incident that was counted twice out.
set -eu
awk '!seen[$0]++' datasets/incidents-2026-10.csv > datasets/corrected
mv datasets/corrected datasets/incidents-2026-10.csv
