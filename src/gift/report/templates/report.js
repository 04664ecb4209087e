(() => {
  const root = document.documentElement;
  const key = "gift-report-theme";
  try { if (localStorage.getItem(key)) root.dataset.theme = localStorage.getItem(key); } catch {}
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem(key, root.dataset.theme); } catch {}
  });
})();
