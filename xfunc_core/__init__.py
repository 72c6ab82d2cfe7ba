"""xfunc: move a machine-learning interatomic potential from one density functional to another.

The core is plain Python: it imports no streamlit, and torch and chgnet only under
``model``, ``training`` and the worker.
"""

__version__ = "0.1.0"
