"use strict";
(() => {
  const root = document.documentElement;
  const stored = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  if (stored()) root.dataset.theme = stored();
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* opened where nothing may be stored */ }
  });

  // An address opens beside the number that was pressed.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[popovertarget]");
    if (!button) return;
    const box = document.getElementById(button.getAttribute("popovertarget"));
    const at = button.getBoundingClientRect();
    const left = Math.min(Math.max(8, at.left), innerWidth - box.offsetWidth - 8);
    const below = at.bottom + 6 + box.offsetHeight < innerHeight;
    box.style.left = `${Math.max(8, left)}px`;
    box.style.top = `${below ? at.bottom + 6 : Math.max(8, at.top - box.offsetHeight - 6)}px`;
  });

  // A shade at the right says that a table goes on.
  const shade = () => document.querySelectorAll(".scroll").forEach((box) =>
    box.classList.toggle("cut", box.scrollLeft + box.clientWidth < box.scrollWidth - 2));
  document.querySelectorAll(".scroll").forEach((box) => box.addEventListener("scroll", shade, { passive: true }));
  addEventListener("resize", shade);
  shade();

  const value = (row, column) => row.children[column]?.dataset.sort ?? "";
  const compare = (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    const x = Number(a), y = Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    heads.forEach((head, column) => head.querySelector("button.sort").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const empty = (row) => value(row, column) === "";
      const rows = [...body.rows].sort((a, b) => {
        const order = compare(value(a, column), value(b, column));
        return down && !empty(a) && !empty(b) ? -order : order;
      });
      body.append(...rows);
    }));
  }

  for (const label of document.querySelectorAll("label.filter")) {
    const input = label.querySelector("input"), count = label.querySelector("output");
    const rows = [...label.parentElement.querySelector("tbody").rows];
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        shown += !row.hidden;
      }
      count.textContent = words.length ? `${shown} of ${rows.length}` : "";
    });
  }
})();
