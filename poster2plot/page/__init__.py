"""The Streamlit page: `main.py` reads as it looks."""
