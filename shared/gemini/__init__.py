"""Gemini File Search, as the rest of the product sees it: stores, documents and grounded answers."""
