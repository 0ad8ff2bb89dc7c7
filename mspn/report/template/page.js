"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const make = (tag, text, name) => Object.assign(document.createElement(tag), { textContent: text, className: name ?? "" });

  const stored = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  if (stored()) root.dataset.theme = stored();
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* opened where nothing may be stored */ }
  });

  // Snakemake's own report shows this page as a data: URL, or from a zip under data/raw: no file lies beside it. Links to
  // files become words there, and links within the page scroll.
  const packed = location.protocol !== "file:" && !location.protocol.startsWith("http") || /\/data\/raw\/[0-9a-f]{16,}\//.test(location.pathname);
  if (packed) {
    for (const link of all("a[href]")) {
      const target = link.getAttribute("href");
      if (!target.startsWith("#")) link.replaceWith(make("span", link.textContent));
      else link.addEventListener("click", (event) => {
        event.preventDefault();
        document.querySelector(target).scrollIntoView();
      });
    }
    document.querySelector(".packed").hidden = false;
  }

  // The address of the number that is pressed, beside it. The press that closes it does not open it again.
  const addresses = JSON.parse(document.getElementById("addresses").textContent);
  const box = document.getElementById("address");
  let pressed = null, closed = 0;
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-a]");
    if (!button || button === pressed && event.timeStamp - closed < 300) return;
    pressed = button;
    const [title, blocks] = addresses.addresses[button.dataset.a];
    const entries = blocks.flatMap((number) => addresses.blocks[number]);
    box.querySelector(".title").textContent = title;
    box.querySelector("dl").replaceChildren(...entries.flatMap((number) => {
      const [label, text, folder, name] = addresses.entries[number];
      const words = make("dd", "");
      if (name === undefined || packed) words.textContent = text;
      else words.append(Object.assign(make("a", text), { href: `${addresses.folders[folder]}/${name}` }));
      return [make("dt", label, label === "seed" ? "seed" : ""), words];
    }));
    box.style.maxHeight = "";
    box.showPopover({ source: button });
    // Below the number or above it, never on it: where there is room, else where there is more.
    const at = button.getBoundingClientRect();
    const under = innerHeight - at.bottom - 14, over = at.top - 14;
    const below = box.offsetHeight <= under || under >= over;
    box.style.maxHeight = `${Math.min(0.7 * innerHeight, below ? under : over)}px`;
    box.style.left = `${Math.max(8, Math.min(at.left, innerWidth - box.offsetWidth - 8))}px`;
    box.style.top = `${below ? at.bottom + 6 : at.top - box.offsetHeight - 6}px`;
  });
  box.addEventListener("beforetoggle", (event) => { if (event.newState === "closed") closed = event.timeStamp; });

  // A table that is cut off at the right says so.
  const cut = () => all(".scroll").forEach((area) => {
    const over = area.scrollWidth > area.clientWidth + 2;
    area.classList.toggle("cut", over && area.scrollLeft + area.clientWidth < area.scrollWidth - 2);
    if (!over) area.removeAttribute("tabindex"); else area.tabIndex = 0;
    const words = area.previousElementSibling;
    if (words?.matches(".more")) words.hidden = !over;
  });
  all(".scroll").forEach((area) => area.addEventListener("scroll", cut, { passive: true }));
  addEventListener("resize", cut);
  cut();

  // The cell of a row in a column, also where a cell before it reaches over several.
  const cellAt = (row, column) => {
    let place = 0;
    return [...row.cells].find((cell) => (place += cell.colSpan) > column);
  };
  const clean = (text) => text.replace(/\s+/g, " ").trim().replaceAll("−", "-").replace(/^[–-]$/, "");
  // What stands first in a cell: its number, or its words; nothing where a row has no number.
  const main = (cell) => cell && !cell.querySelector(".none") ? clean((cell.querySelector("button b") ?? cell).textContent) : "";
  const value = (row, column) => main(cellAt(row, column));
  const compare = (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    const x = Number(a), y = Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
  };
  for (const table of all("table.sortable")) {
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

  for (const label of all("label.filter")) {
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

  // Tab-separated values of the rows shown: a column each number, a plain minus.
  const tsv = (table) => {
    const places = { low: "i b", high: "i b:last-child", difference: "u b" };
    const part = (cell, name) => clean(cell?.querySelector(places[name])?.textContent ?? "");
    const rows = [...table.tBodies[0].rows].filter((row) => !row.hidden);
    const width = [...table.tHead.rows].at(-1).cells.length;
    const lines = [[], ...rows.map(() => [])];
    for (let column = 0; column < width; column++) {
      const label = [...new Set([...table.tHead.rows].map((row) => clean(cellAt(row, column).textContent)))].filter(Boolean).join(" ");
      const parts = Object.keys(places).filter((name) => rows.some((row) => part(cellAt(row, column), name)));
      lines[0].push(label, ...parts.map((name) => `${label}, ${name}`));
      rows.forEach((row, i) => lines[i + 1].push(main(cellAt(row, column)), ...parts.map((name) => part(cellAt(row, column), name))));
    }
    return lines.map((line) => line.join("\t")).join("\n") + "\n";
  };
  const copy = async (text) => {
    try { await navigator.clipboard.writeText(text); } catch { // no clipboard where the page is no secure context
      const area = document.body.appendChild(Object.assign(make("textarea", ""), { value: text }));
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  };
  for (const button of all("button.copy")) button.addEventListener("click", async () => {
    await copy(tsv(button.closest("figure").querySelector("table")));
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy as TSV"; }, 1500);
  });
})();
