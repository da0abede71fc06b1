"""The parts of verify.py: a verifier of evidence bundles, written from docs/format.md alone.

`encoding` → `keys`, `bundle`, `scope` → `tokens` → `chain` → `audit` → `structure`, `authority` → `steps`: each part
uses those before it. No part reads a clock, the network or the environment.
"""
