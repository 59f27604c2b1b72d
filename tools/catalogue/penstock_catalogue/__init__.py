"""Builds the model catalogue from openly licensed sources. The program is `../import`; `../README.md` explains it."""
