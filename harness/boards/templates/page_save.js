// ---- a table as a file, made from what the page shows ----
// A figure as the page writes it: mean, deviation, interval, percent.
const FIGURE = /^([+−-]?)([\d,]*\.?\d+)(?: ± ?([\d.]+)| (deterministic))?(?: \[([+−-]?[\d.]+), ([+−-]?[\d.]+)\])?( %)?$/;
const INTERVAL = /^([+−-]?[\d.]+)\.\.([+−-]?[\d.]+)$/;
const numeric = (text) => Number(text.replace("−", "-").replaceAll(",", ""));
const textOf = (cell) => {
  const copy = cell.cloneNode(true);
  for (const extra of copy.querySelectorAll(".kind, .setting")) extra.remove();
  return copy.textContent.replace(/\s+/g, " ").trim();
};

// Returns a cell as its parts; a text is itself, and nothing is null.
const partsOf = (text) => {
  if (text === NONE || text === "") return { value: null };
  const interval = text.match(INTERVAL);
  if (interval) return { low: numeric(interval[1]), high: numeric(interval[2]) };
  const found = text.match(FIGURE);
  if (!found) return { value: text };
  const [, sign, digits, std, same, low, high, share] = found;
  const value = numeric(sign + digits);
  // A share of 1 in percent: to as many digits as are shown.
  if (share) return { value: Number((value / 100).toFixed(6)) };
  return { value, ...(std ? { std: Number(std) } : same ? { std: 0 } : {}),
    ...(low ? { low: numeric(low), high: numeric(high) } : {}) };
};

// Returns the columns and rows that a reader sees now, sorted and filtered as they are.
const seen = (table) => {
  const shown = (cell) => getComputedStyle(cell).display !== "none";
  const heads = [...table.tHead.rows[0].cells].filter(shown).map(textOf);
  const lines = [...table.tBodies[0].rows].filter((row) => row.cells.length > 1 && !/detail|failed/.test(row.className));
  const rows = lines.map((row) => [...row.cells].filter(shown).map(textOf));
  const extra = (name, values) => {
    if (values.some(Boolean)) {
      heads.push(name);
      rows.forEach((row, i) => row.push(values[i]));
    }
  };
  extra("role", lines.map((row) => row.className));
  extra("setting", lines.map((row) => row.querySelector("th .setting")?.textContent.trim() || ""));
  return { heads, rows, caption: textOf(table.caption.querySelector("span")) };
};

const csvCell = (value) => (/[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
const csvOf = ({ heads, rows }) => {
  const cells = rows.map((row) => row.map(partsOf));
  const columns = heads.flatMap((head, i) => ["value", "std", "low", "high"]
    .filter((part) => cells.some((row) => known(row[i][part])) || (part === "value" && !cells.some((row) => "low" in row[i])))
    .map((part) => ({ i, part, name: part === "value" ? head : `${head} ${part}` })));
  const lines = cells.map((row) => columns.map(({ i, part }) => row[i][part] ?? ""));
  return [columns.map(({ name }) => name), ...lines].map((line) => `${line.map(csvCell).join(",")}\n`).join("");
};

const jsonOf = ({ heads, rows, caption, key }) => `${JSON.stringify({
  ...key, caption,
  columns: heads,
  rows: rows.map((row) => Object.fromEntries(row.map((text, i) => {
    const parts = partsOf(text);
    return [heads[i], Object.keys(parts).join() === "value" ? parts.value : parts];
  }))),
}, null, 1)}\n`;

const ESCAPES = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "<": "\\textless{}",
  ">": "\\textgreater{}", "|": "\\textbar{}", "\"": "\\textquotedbl{}", "–": "--", "±": "$\\pm$", "−": "$-$", "×": "$\\times$", "†": "\\dag{}", "‡": "\\ddag{}" };
const tex = (text) => [...text].map((c) => ESCAPES[c] || (/[{}$&#_%]/.test(c) ? `\\${c}` : c)).join("");
const texFigure = (text) => (FIGURE.test(text) && !text.includes("deterministic")
  ? `$${text.replace("−", "-").replace(/\s*±\s*/, " \\pm ").replace(" %", "\\,\\%")}$` : tex(text));
const texOf = ({ heads, rows, caption }) => {
  const line = (cells) => `${cells.join(" & ")} \\\\`;
  const kind = (i) => (rows.some((row) => FIGURE.test(row[i])) ? "r" : "l");
  return [
    "% \\usepackage[T1]{fontenc} \\usepackage{booktabs}", "\\begin{table*}", "\\centering", "\\small",
    `\\caption{${tex(caption)}}`, `\\begin{tabular}{${heads.map((_, i) => kind(i)).join("")}}`, "\\toprule",
    line(heads.map(tex)), "\\midrule", ...rows.map((row) => line(row.map(texFigure))), "\\bottomrule",
    "\\end{tabular}", "\\end{table*}", "",
  ].join("\n");
};

const SAVED = { csv: ["text/csv", csvOf], json: ["application/json", jsonOf], tex: ["application/x-tex", texOf] };
const save = (table, form, key) => {
  const [type, write] = SAVED[form];
  const name = [key.board, key.view, key.scored_under].filter(Boolean).join("-").replace(/[^\w.@-]+/g, "-").slice(0, 80);
  const link = el("a", { download: `${name}.${form}`, href: URL.createObjectURL(new Blob([write({ ...seen(table), key })], { type })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};
// Gives a table buttons that save it; `key` says what it is of, and names the file.
const savable = (table, key) => {
  const buttons = Object.keys(SAVED).map((form) => {
    const button = el("button", { type: "button", "data-save": form, "aria-label": `Download this table as ${form.toUpperCase()}` }, form.toUpperCase());
    button.addEventListener("click", () => save(table, form, key));
    return button;
  });
  table.caption.append(el("span", { class: "save" }, ...buttons));
  return table;
};
