// The theme button: the system's theme, light or dark. The browser remembers the choice.

const KEY = "llmproxy-theme";
const NEXT = { auto: "light", light: "dark", dark: "auto" };

export function themeSwitch(button) {
  const root = document.documentElement;
  const show = () => {
    const now = root.dataset.theme ?? "auto";
    button.textContent = `Theme: ${now}`;
  };
  button.addEventListener("click", () => {
    const next = NEXT[root.dataset.theme ?? "auto"];
    if (next === "auto") delete root.dataset.theme;
    else root.dataset.theme = next;
    remember(next);
    show();
  });
  show();
}

function remember(theme) {
  try {
    if (theme === "auto") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch {
    // Storage is not allowed: the choice lasts until the page is closed.
  }
}
