"""Parts of the measuring scripts beside this folder. Python 3.11 and its standard library, Linux only."""
