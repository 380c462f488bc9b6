"""The auditor's app: the entry script that Streamlit runs. `affidavit ui` starts it."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_HERE = Path(__file__).parent

st.set_page_config(page_title="Affidavit", page_icon=None, layout="wide")
st.navigation(
    [
        st.Page(_HERE / "page_overview.py", title="Overview", default=True),
        st.Page(_HERE / "page_model.py", title="Model", url_path="model"),
        st.Page(_HERE / "page_decision.py", title="Decision lookup", url_path="decision"),
        st.Page(_HERE / "page_verify.py", title="Verify", url_path="verify"),
    ],
    position="top",
).run()
