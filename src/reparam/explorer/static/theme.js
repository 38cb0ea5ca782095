// Before anything is painted: the theme that the reader chose, or the machine's.
"use strict";
(() => {
  const root = document.documentElement;
  const chosen = (() => { try { return localStorage.getItem("reparam-theme"); } catch { return null; } })();
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = chosen === "light" || chosen === "dark" ? chosen : dark ? "dark" : "light";
})();
