// Applies the chosen theme before anything is drawn. Not a module, because those run too late.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("llmproxy-theme");
  } catch {
    // Storage is not allowed: use the system's theme.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
