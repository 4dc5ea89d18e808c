// Language, theme, keys, and helpers that buttons call. Runs once, when the page is being set up.
(() => {
  const KEY = "qeu_lang", THEME = "qeu_theme";
  const known = ["en", "ja", "zh-CN", "zh-TW"];
  const store = {
    get(name) { try { return localStorage.getItem(name); } catch { return null; } },
    set(name, value) { try { localStorage.setItem(name, value); } catch { /* private mode */ } },
  };
  const remember = (code) => {
    store.set(KEY, code);
    document.cookie = `${KEY}=${code};path=/;max-age=31536000;SameSite=Lax`;
    document.documentElement.lang = code;
  };
  // The frontend has a language switch but no public name for it; the browser test holds us to it.
  const switchLabels = async (code) => {
    for (let tries = 0; tries < 40; tries += 1) {
      const core = performance.getEntriesByType("resource").map((entry) => entry.name)
        .find((name) => /\/assets\/core-[^/]*\.js/.test(name));
      if (core) {
        await (await import(core)).changeLocale(code);
        return;
      }
      await new Promise((done) => setTimeout(done, 50));
    }
    console.error("QEU: the page's language switch was not found; labels stay as they are");
  };
  window.qeuSetLanguage = async (code) => {
    remember(code);
    await switchLabels(code);
    return code;
  };
  const asked = new URLSearchParams(location.search).get("lang");
  const chosen = known.includes(asked) ? asked : store.get(KEY);
  if (known.includes(chosen)) {
    remember(chosen);
    if (chosen !== navigator.language) switchLabels(chosen);
  } else {
    document.documentElement.lang = navigator.language;
  }

  const applyTheme = () => {
    const theme = store.get(THEME);
    if (theme && !new URLSearchParams(location.search).has("__theme")) {
      document.body.classList.toggle("dark", theme === "dark");
    }
  };
  window.qeuToggleTheme = () => {
    const dark = document.body.classList.toggle("dark");
    store.set(THEME, dark ? "dark" : "light");
  };
  document.addEventListener("DOMContentLoaded", () => setTimeout(applyTheme, 0));
  window.addEventListener("load", applyTheme);

  window.qeuToggleSidebar = (id) => {
    document.querySelector(`#${id} .toggle-button`)?.click();
  };

  window.qeuCopy = async (id) => {
    const parts = [...document.querySelectorAll(`#${id} .q-part > div`)];
    const text = parts.map((part) => part.innerText).join("\n\n");
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = Object.assign(document.createElement("textarea"), { value: text });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  };

  // Ctrl/Cmd+Enter runs and Esc stops whatever tab is open; Enter alone stays a line break.
  const press = (kind) => {
    const buttons = [...document.querySelectorAll(`button[id$="${kind}-btn"], button[id$="-${kind}"]`)];
    const wanted = kind === "run" ? ["run-btn", "roles-run", "trial-run"] : ["stop-btn", "roles-stop", "trial-stop"];
    buttons.find((b) => wanted.includes(b.id) && b.offsetParent !== null)?.click();
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      // A focused checkbox would also take the Enter as a click.
      event.stopPropagation();
      // Text boxes hand their value over when it changes; give that a moment.
      setTimeout(() => press("run"), 50);
    } else if (event.key === "Escape" && !event.isComposing) {
      press("stop");
    }
  }, true);
})();
