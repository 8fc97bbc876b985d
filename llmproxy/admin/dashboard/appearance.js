// The switch of colours: as the system has it, light, dark. Remembered by this browser.

const KEY = "llmproxy-theme";
const NEXT = { auto: "light", light: "dark", dark: "auto" };
const WORDS = { auto: "auto", light: "light", dark: "dark" };

export function themeSwitch(button) {
  const root = document.documentElement;
  const show = () => {
    const now = root.dataset.theme ?? "auto";
    button.textContent = `Colours: ${WORDS[now]}`;
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
    // Storage is forbidden: it holds until the page is left.
  }
}
