// The colours that were chosen, before anything is drawn. Not a module: those run too late.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("llmproxy-theme");
  } catch {
    // Storage is forbidden: as the system has it.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
