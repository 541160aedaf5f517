"use strict";
// Names come from archives and file systems: they are only ever set as text, never parsed as HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const LOADS = [
  ["✓", "loads", "good"], ["✓", "untagged", "soft"], ["✓", "choose", "soft"],
  ["?", "unknown", "soft"], ["◐", "partly", "bad"], ["✗", "no", "bad"],
];
const STATUS = [["✓", "passed", "good"], ["–", "skipped", "none"], ["✗", "rejected", "bad"], ["✗", "failed", "bad"]];
const STEP = 250;
const byId = (id) => document.getElementById(id);
const text = (id) => data.texts[id];

function make(name, properties, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties || {})) {
    if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

// Rows are [input, status, result, cells, verdicts, facts, commands, findings].
const rows = data.rows.map((row, index) => {
  const verdicts = data.lists[row[4]];
  const rules = new Set();
  for (const verdict of verdicts) {
    for (const reason of data.verdicts[verdict][3]) rules.add(data.reasons[reason][0]);
  }
  return { row, index, verdicts, rules, key: text(row[0]).toLowerCase() };
});

function option(select, value, name) {
  select.append(make("option", { value }, name));
}
data.columns.forEach((name, index) => option(byId("engine"), index, name));
LOADS.forEach(([, name], index) => option(byId("verdict"), index, name));
STATUS.forEach(([, name], index) => option(byId("status"), index, name));
data.rules.forEach(([name], index) => option(byId("rule"), index, name));
// A column is as wide as its verdicts: its name may be broken after a slash.
const broken = (name) => name.split(/(?<=\/)/).flatMap((part, index) => index > 0 ? [make("wbr"), part] : [part]);
byId("head").append(...data.columns.map((name) => make("th", { scope: "col" }, ...broken(name))));

function cell(codes) {
  const [before, after, old] = codes;
  if (before === "-") return make("td", { className: "cell none" }, "–");
  const [sign, name, style] = LOADS[before];
  const older = old !== "-" && old > "2" && before <= "2" ? "°" : "";
  const td = make("td", { className: `cell ${style}` }, `${sign} ${name}${older}`);
  if (after !== before) {
    const [afterSign, afterName, afterStyle] = LOADS[after];
    td.append(make("br"), make("small", { className: afterStyle }, `→ ${afterSign} ${afterName}`));
  }
  return td;
}

function details(entry) {
  const [, , result, , , facts, commands, findings] = entry.row;
  const box = make("td", { colSpan: data.columns.length + 2 });
  const list = make("dl", {}, make("dt", {}, "Result"), make("dd", {}, text(result)));
  if (facts !== null) list.append(make("dt", {}, "Contents"), make("dd", {}, text(facts)));
  box.append(list);
  if (commands.length > 0) {
    box.append(make("h2", {}, "Commands"));
    box.append(make("ul", {}, ...commands.map(([what, command]) =>
      make("li", {}, `${text(what)} `, make("code", {}, text(command))))));
  }
  if (findings.length > 0) {
    box.append(make("h2", {}, "Findings"));
    box.append(make("ul", {}, ...findings.map((finding) => make("li", {}, text(finding)))));
  }
  if (entry.verdicts.length > 0) {
    const body = entry.verdicts.map((number) => {
      const [label, counts, before, reasons, after, left] = data.verdicts[number];
      const loads = (code) => make("td", { className: `cell ${LOADS[code][2]}` }, `${LOADS[code][0]} ${LOADS[code][1]}`);
      const why = make("td", {}, ...reasons.concat(left.filter((reason) => !reasons.includes(reason))).map((reason) => {
        const [rule, place, says] = data.reasons[reason];
        const [name, meaning] = data.rules[rule];
        const when = reasons.includes(reason) ? "" : " (once fixed)";
        return make("div", {}, make("b", {}, name), `${when}: ${meaning} `, make("code", {}, text(place)), ` ${text(says)}`);
      }));
      return make("tr", {}, make("td", {}, text(label) + (counts ? "" : " (EOL)")), loads(before), loads(after), why);
    });
    const head = ["Engine", "As it is", "Fixed", "Why"].map((name) => make("th", { scope: "col" }, name));
    box.append(make("h2", {}, "Verdicts"), make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body)));
  }
  return make("tr", { className: "details", id: `details-${entry.index}` }, box);
}

function shown(entry, isOpen) {
  const [input, status, result, cells] = entry.row;
  const [sign, name, style] = STATUS[status];
  const button = make("button", { type: "button", "aria-expanded": "false" }, text(input));
  const line = make("tr", {},
    make("th", { scope: "row" }, button),
    make("td", { className: `cell ${style}` }, `${sign} ${name}`));
  if (cells === "") line.append(make("td", { colSpan: Math.max(data.columns.length, 1) }, text(result)));
  else data.columns.forEach((_, index) => line.append(cell(cells.slice(3 * index, 3 * index + 3))));
  const toggle = () => {
    const isExpanded = button.getAttribute("aria-expanded") === "true";
    if (isExpanded) line.nextSibling.remove();
    else line.after(details(entry));
    button.setAttribute("aria-expanded", String(!isExpanded));
  };
  button.addEventListener("click", toggle);
  const fragment = make("tbody", {}, line);
  if (isOpen) toggle();
  return fragment;
}

let found = [];
let count = 0;

function more(limit) {
  const end = Math.min(found.length, count + limit);
  byId("table").append(...found.slice(count, end).map((entry) => shown(entry, rows.length === 1)));
  count = end;
  byId("more").hidden = count === found.length;
  byId("found").textContent = `${found.length} of ${rows.length} inputs` + (count < found.length ? `, the first ${count} shown` : "");
}

function filter() {
  const value = (id) => byId(id).value;
  const [words, status, engine, verdict, rule] = [value("words").toLowerCase(), value("status"), value("engine"), value("verdict"), value("rule")];
  found = rows.filter(({ row, key, rules, verdicts }) => {
    if (!key.includes(words) || (status !== "" && row[1] !== Number(status))) return false;
    if (rule !== "" && engine === "" && !rules.has(Number(rule))) return false;
    if (rule !== "" && engine !== "" && !verdicts.some((number) => {
      const item = data.verdicts[number];
      return item[6] === Number(engine) && item[3].some((reason) => data.reasons[reason][0] === Number(rule));
    })) return false;
    if (verdict === "" && engine === "") return true;
    const cells = row[3];
    for (let column = 0; column < data.columns.length; column += 1) {
      const code = cells[3 * column];
      if (engine !== "" && column !== Number(engine)) continue;
      if (code !== undefined && code !== "-" && (verdict === "" || code === verdict)) return true;
    }
    return false;
  });
  for (const body of byId("table").querySelectorAll("tbody")) body.remove();
  count = 0;
  more(STEP);
}

byId("filter").addEventListener("input", filter);
byId("filter").addEventListener("submit", (event) => event.preventDefault());
byId("filter").addEventListener("reset", () => setTimeout(filter));
byId("more").addEventListener("click", () => more(STEP));
addEventListener("beforeprint", () => more(found.length));
filter();
