// Sorting, filtering and choosing columns. The page is complete without it: nothing is computed
// here, no rank changes, and the whole state stands in the address, after "#anchor?".
"use strict";
(() => {
  const tables = [...document.querySelectorAll("table.sortable")];
  const rows = [...document.querySelectorAll("tr[data-protocol]")];
  const ranked = "heldout";
  const state = { q: "", off: new Set(), cols: new Set(), sort: new Map() };

  const heads = (table) => [...table.tHead.rows[0].cells];
  const title = (th) => (th.dataset.title ??= th.textContent.replace(/\s+/g, " ").trim());
  const element = (name, properties, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };

  // The cell of a row in a column of the head; a cell may span several.
  const cellAt = (row, column) => {
    let at = 0;
    for (const cell of row.cells) {
      at += cell.colSpan;
      if (at > column) return cell;
    }
    return null;
  };

  // What a cell is sorted by: its unrounded value, the number it begins with, or its text; "" last.
  const valueOf = (row, column) => {
    const cell = cellAt(row, column);
    if (!cell || (cell.colSpan > 1 && row.cells.length > 1)) return "";
    if (cell.dataset.value !== undefined) return cell.dataset.value === "" ? "" : Number(cell.dataset.value);
    const text = cell.textContent.replace(/\s+/g, " ").trim();
    const leading = /^[+−-]?[\d,]*\.?\d+(?:e[+−-]?\d+)?(?= |$)/.exec(text);
    return leading ? Number(leading[0].replace(/−/g, "-").replace(/,/g, "")) : text;
  };

  const compare = (a, b, sign) => {
    if (a === b) return 0;
    if (a === "" || b === "") return a === "" ? 1 : -1;
    if (typeof a === "number" && typeof b === "number") return sign * (a - b);
    if (typeof a === "number" || typeof b === "number") return typeof a === "number" ? -1 : 1;
    return sign * a.localeCompare(b, "en");
  };

  const built = new Map();
  for (const table of tables)
    for (const body of table.tBodies)
      [...body.rows].forEach((row, i) => built.set(row, i));

  const sortTable = (index) => {
    const table = tables[index];
    const [column, direction] = state.sort.get(index) ?? [-1, ""];
    heads(table).forEach((th, i) => {
      if (i === column) th.setAttribute("aria-sort", direction === "a" ? "ascending" : "descending");
      else th.removeAttribute("aria-sort");
    });
    for (const body of table.tBodies) {
      const movable = [...body.rows].filter((row) => !row.classList.contains("heading"));
      movable.sort((a, b) => {
        const order = column < 0 ? 0
          : compare(valueOf(a, column), valueOf(b, column), direction === "a" ? 1 : -1);
        return order || built.get(a) - built.get(b);
      });
      body.append(...movable);
    }
  };

  const addButtons = (table, index) => {
    heads(table).forEach((th, column) => {
      if (th.classList.contains("picture")) return;
      title(th);
      const button = element("button", { type: "button" });
      button.append(...th.childNodes);
      th.append(button);
      button.addEventListener("click", () => {
        const [old, direction] = state.sort.get(index) ?? [-1, ""];
        if (old !== column) state.sort.set(index, [column, "a"]);
        else if (direction === "a") state.sort.set(index, [column, "d"]);
        else state.sort.delete(index);
        sortTable(index);
        remember();
      });
    });
  };

  const told = element("span", { className: "fine" });
  told.setAttribute("role", "status");

  const applyFilter = () => {
    const query = state.q.toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const name = (row.dataset.name ?? "").toLowerCase();
      const kept = !state.off.has(row.dataset.protocol) && (!row.dataset.name || name.includes(query));
      row.hidden = !kept;
      shown += kept;
    }
    for (const heading of document.querySelectorAll("tr.heading"))
      heading.hidden = ![...heading.parentElement.rows].some((r) => r !== heading && !r.hidden);
    told.textContent = shown === rows.length ? ""
      : `Filtered view: ${shown} of ${rows.length} rows. Ranks are those of the full table.`;
  };

  const applyColumns = () => {
    for (const table of document.querySelectorAll("table.standing")) {
      const hidden = heads(table).map((th) => state.cols.has(title(th)));
      for (const row of table.rows) {
        if (row.classList.contains("heading")) continue;
        let at = 0;
        for (const cell of row.cells) {
          const span = cell.dataset.span ? Number(cell.dataset.span) : cell.colSpan;
          cell.dataset.span = span;
          const left = hidden.slice(at, at + span).filter((h) => !h).length;
          cell.hidden = left === 0;
          if (left) cell.colSpan = left;
          at += span;
        }
      }
    }
  };

  const remember = () => {
    const parts = new URLSearchParams();
    if (state.q) parts.set("q", state.q);
    for (const name of [...state.off].sort()) parts.append("off", name);
    for (const name of [...state.cols].sort()) parts.append("hide", name);
    for (const [index, [column, direction]] of [...state.sort].sort((a, b) => a[0] - b[0]))
      parts.append("sort", `${index}.${column}.${direction}`);
    const anchor = location.hash.slice(1).split("?")[0];
    const text = parts.toString();
    const hash = anchor || text ? `#${anchor}${text ? `?${text}` : ""}` : " ";
    history.replaceState(null, "", hash === " " ? location.pathname + location.search : hash);
  };

  const recall = () => {
    const [anchor, text] = location.hash.slice(1).split(/\?(.*)/s);
    if (text === undefined && built.restored) return remember(); // an anchor keeps the state
    built.restored = true;
    const parts = new URLSearchParams(text ?? "");
    state.q = parts.get("q") ?? "";
    state.off = new Set(parts.getAll("off"));
    state.cols = new Set(parts.getAll("hide"));
    const before = [...state.sort.keys()];
    state.sort.clear();
    for (const part of parts.getAll("sort")) {
      const [index, column, direction] = part.split(".");
      const table = tables[Number(index)];
      if (table && heads(table)[Number(column)] && /^[ad]$/.test(direction))
        state.sort.set(Number(index), [Number(column), direction]);
    }
    for (const index of new Set([...before, ...state.sort.keys()])) sortTable(index);
    showControls();
    applyFilter();
    applyColumns();
    if (text !== undefined && anchor)
      document.getElementById(anchor)?.scrollIntoView();
  };

  const inputs = [];
  const showControls = () => inputs.forEach((show) => show());

  const check = (text, set, name) => {
    const box = element("input", { type: "checkbox" });
    inputs.push(() => { box.checked = !set().has(name); });
    box.addEventListener("change", () => {
      if (box.checked) set().delete(name); else set().add(name);
      applyFilter();
      applyColumns();
      remember();
    });
    return element("label", {}, box, ` ${text}`);
  };

  const addControls = () => {
    const named = rows.filter((row) => row.dataset.name);
    const protocols = [...new Set(rows.map((row) => row.dataset.protocol))].sort();
    const standing = document.querySelector("table.standing");
    if (named.length < 2 && protocols.length < 2) return;
    const bar = element("div", { className: "controls" });
    bar.setAttribute("role", "search");
    const find = element("input", { type: "search", autocomplete: "off", spellcheck: false });
    inputs.push(() => { find.value = state.q; });
    find.addEventListener("input", () => { state.q = find.value; applyFilter(); remember(); });
    bar.append(element("label", {}, "Show rows named ", find));
    for (const name of protocols)
      if (name !== ranked) bar.append(check(name || "no protocol", () => state.off, name));
    if (standing) {
      const boxes = element("div", { className: "choices" });
      heads(standing).slice(2).forEach((th) => boxes.append(check(title(th), () => state.cols, title(th))));
      bar.append(element("details", {}, element("summary", { textContent: "Columns" }), boxes));
    }
    bar.append(told);
    const before = document.querySelector("main section");
    before?.parentElement.insertBefore(bar, before);
  };

  tables.forEach(addButtons);
  addControls();
  recall();
  window.addEventListener("hashchange", recall);
})();
