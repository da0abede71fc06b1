#!/bin/sh
# Joins the two datasets: incidents per customer beside the sales.
set -eu
{
  echo "customer,amount,incidents"
  tail -n +2 datasets/sales-2026-10.csv | while IFS=, read -r customer amount; do
    echo "$customer,$amount,$(grep -c ",$customer\$" datasets/incidents-2026-10.csv)"
  done
} > clean/risk-2026-10.csv
